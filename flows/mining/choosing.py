"""Which of the documents that were found for a query are taken as negatives."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from flows.settings import MiningSettings

_WORD = re.compile(r"\w+")


def highest_similarity(relevant: npt.NDArray[np.float32], settings: MiningSettings) -> float:
    """Return the similarity that a mined document may have at most, given those of the relevant ones, shape (n,).

    The margin is relative, as in positive-aware mining with a percentage of the positive's score (TopK-PercPos in
    Moreira et al., "NV-Retriever: Improving text embedding models with effective hard-negative mining",
    arXiv:2407.15831, 2024). They count it for each positive; here one limit holds for all of a query's, and it lies
    below their best, mean or worst. A share of the absolute value keeps it below where similarities are negative.
    """
    if settings.margin is None:
        return float("inf")
    references = {"best": relevant.max(), "mean": relevant.mean(), "worst": relevant.min()}
    reference = float(references[settings.against])
    return reference - settings.margin * abs(reference)


def choose_mined(
    found: Sequence[int],
    similarities: Sequence[float],
    documents: Sequence[str],
    taken: set[int],
    relevant: Sequence[str],
    limit: float,
    count: int,
) -> Iterator[tuple[int, float]]:
    """Yield up to `count` of the positions that were `found`, the most similar first, and their similarities.

    Left out are those above `limit`, those in `taken`, and texts with the same words as a relevant one or as one
    that was yielded before.
    """
    seen = {_words(text) for text in relevant}
    for position, similarity in zip(found, similarities, strict=True):
        if count == 0:
            return
        if position < 0 or similarity > limit or position in taken:
            continue
        words = _words(documents[position])
        if words not in seen:
            seen.add(words)
            count -= 1
            yield position, similarity


def choose_random(size: int, excluded: set[int], count: int, random: np.random.Generator) -> list[int]:
    """Draw up to `count` different positions below `size` that are not in `excluded`; fewer where there are fewer."""
    count = min(count, size - len(excluded))
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        batch = random.integers(size, size=2 * count).tolist()
        drawn.update(dict.fromkeys(position for position in batch if position not in excluded))
    return list(drawn)[:count]


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))
