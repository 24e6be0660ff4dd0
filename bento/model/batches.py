"""Pairs become arrays of few different shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bento.model.encoded import EncodedPair
from bento.model.engine import UnusableModelError

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the network sees at once."""

    positions: list[int]
    """Of the pairs among those given, one for each row."""
    inputs: dict[str, Array]
    """INPUTS, each of shape (rows, length)."""


def batches(pairs: Sequence[EncodedPair], tokens: int, step: int) -> Iterator[Batch]:
    """Yield `pairs` in rows of similar length, padded to a multiple of `step`.

    Rows are a power of two, at most as many as make `tokens` together, padding included. So there are few shapes:
    libraries that compile each one would otherwise compile all day and fill the memory with what they compiled.
    """
    by_length = sorted(range(len(pairs)), key=lambda position: -len(pairs[position]))
    while by_length:
        length = -(-len(pairs[by_length[0]]) // step) * step
        most = min(len(by_length), max(1, tokens // length))
        rows = 1 << (most.bit_length() - 1)
        positions, by_length = by_length[:rows], by_length[rows:]
        yield Batch(positions, to_arrays([pairs[position] for position in positions], length))


def to_arrays(pairs: Sequence[EncodedPair], length: int) -> dict[str, Array]:
    """Return INPUTS, each of shape (len(pairs), length), padded at the end."""
    arrays = np.zeros((len(INPUTS), len(pairs), length), dtype=np.int64)  # padding is masked, so any token will do
    ids, mask, types = arrays
    for row, pair in enumerate(pairs):
        size = len(pair.ids)
        ids[row, :size] = pair.ids
        mask[row, :size] = 1
        types[row, :size] = pair.type_ids  # left out, the scores would be silently wrong
    return dict(zip(INPUTS, arrays, strict=True))


def check_inputs(names: set[str], file: str) -> None:
    """Raise UnusableModelError where a network does not take INPUTS."""
    if names != set(INPUTS):
        raise UnusableModelError(f"{file} takes {sorted(names)}: export it again with flows.packaging.export")
