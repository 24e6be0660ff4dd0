"""Everything the watch knows of the reference: fitted once for each champion, kept beside its snapshot.

It holds numbers and words, no text: sums of blocks of queries, from which the quiet windows of any size are drawn,
the fitted channels, and how often each word is used.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import NamedTemporaryFile
from tokenize import TokenError
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.drift.calibration import Quiet, calibrate
from flows.drift.channels import KINDS, Channel, Vectors, fit_channels
from flows.drift.movement import WordShares
from flows.drift.period import Encode, Floats, Integers, Numbers, Period, Score, trained_queries
from flows.drift.report import PeriodSummary
from flows.settings import DriftSettings

_BLOCKS = 512
_HELD_OUT = 3
"""The oldest of so many parts is what a channel is fitted on, where the others must be new to it, as a window is: in
one piece, for neighbours in time share their topics."""
_FEWEST_NEW = 100
"""Queries that must be new to such a channel: of fewer, nobody knows what is rare."""
_FEWEST = 3
"""Queries of which quiet windows can be drawn at all."""
_SHOWN = 2_000


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, BadZipFile, TokenError, zlib.error)
"""What numpy raises of files that are cut off, empty or damaged."""


class UnreadableProfileError(Exception):
    """A file is not a profile of this version; fit a new one."""


@dataclass(frozen=True)
class ReferenceChannel:
    """A channel and what its vectors came to on the reference."""

    name: str
    channel: Channel
    sums: Mapping[str, Floats]
    """For each test, the sum of the vectors of each block of consecutive queries; (blocks, d)."""
    counts: Integers
    """Queries of each block; (blocks,)."""
    shown: npt.NDArray[Any]
    """One plain value for each of some queries, for a chart."""

    @property
    def queries(self) -> int:
        """How many queries of the reference were measured."""
        return int(self.counts.sum())

    def mean(self, test: str) -> Floats:
        """Return the reference's mean vector."""
        mean: Floats = self.sums[test].sum(axis=0) / self.queries
        return mean


@dataclass(frozen=True)
class Profile:
    """The reference, ready to be compared with windows."""

    summary: PeriodSummary
    channels: tuple[ReferenceChannel, ...]
    words: WordShares
    trained: Numbers
    """Numbers of the queries that the champion has seen; see `trained_queries`."""
    settings: str
    """Digest of the settings that it was fitted with."""
    _quiet: dict[tuple[str, int, int, int], Quiet] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        reference: pa.Table,
        settings: DriftSettings,
        encode: Encode | None = None,
        score: Score | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> Self:
        """Learn what is ordinary from the champion's training snapshot.

        Args:
            reference: SNAPSHOT_SCHEMA. Its undersampled negatives do no harm: within a query, relevant and other
                documents weigh the same on both sides. A column that it lacks leaves its channels out.
            settings: Sizes of samples, and the seed.
            encode: Sentence embeddings, for the channels of meaning; without it they are left out.
            score: The champion, for the channel of its scores, which takes the test split: on what the champion
                was trained on it is surer than on anything new. Without it the channel is left out.
            progress: Called with the share done, 0..1.
        """
        whole = Period.of(reference)
        rankable = whole.rankable()
        trained = trained_queries(reference)
        period = prepared(rankable, settings, encode, score, trained)
        progress(0.6)
        sampled = period.sample(settings.max_text_rows, settings.seed)
        fitted: list[ReferenceChannel] = []
        if period.queries:
            held_out, others = _divided(sampled)
            for name, channel in fit_channels(period, held_out, settings.seed):
                vectors = channel.vectors(others if channel.held_out else sampled if channel.sampled else period)
                fewest = _FEWEST_NEW if channel.held_out else max(settings.min_queries, _FEWEST)
                if vectors is not None and next(iter(vectors.values())).shape[0] >= fewest:
                    fitted.append(_reference(name, channel, vectors))
                progress(0.6 + 0.3 * len(fitted) / len(KINDS))
        profile = cls(
            summary=PeriodSummary.of(whole, rankable, period),
            channels=tuple(fitted),
            words=WordShares.of(sampled),
            trained=trained,
            settings=settings.profile_digest(),
        )
        progress(1.0)
        return profile

    def quiet(self, reference: ReferenceChannel, window: int, windows: int, seed: int) -> Quiet:
        """Return what a channel does in quiet windows of `window` queries; computed once for each."""
        key = (reference.name, window, windows, seed)
        if key not in self._quiet:
            self._quiet[key] = calibrate(reference.sums, reference.counts, window, windows, seed)
        return self._quiet[key]

    def save(self, path: Path) -> None:
        """Write the profile as one .npz, whole or not at all; nothing in it is executed when it is read."""
        arrays: dict[str, Any] = {"summary": self.summary.model_dump_json(), "settings": self.settings}
        arrays["trained"] = self.trained
        arrays["channels"] = json.dumps([(part.name, type(part.channel).__name__) for part in self.channels])
        arrays |= {f"words/{name}": array for name, array in self.words.arrays().items()}
        for part in self.channels:
            arrays |= {f"{part.name}/{f.name}": getattr(part.channel, f.name) for f in fields(part.channel)}  # type: ignore[arg-type]
            arrays |= {f"{part.name}/sums/{test}": sums for test, sums in part.sums.items()}
            shown = part.shown.astype(str) if part.shown.dtype == object else part.shown
            arrays |= {f"{part.name}/counts": part.counts, f"{part.name}/shown": shown}
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            np.savez_compressed(file, **arrays)
        Path(file.name).replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a profile; UnreadableProfileError when the file is no profile or one of another version."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            channels = tuple(
                _restored(name, KINDS[kind], arrays) for name, kind in json.loads(str(arrays["channels"]))
            )
            words = {n.removeprefix("words/"): array for n, array in arrays.items() if n.startswith("words/")}
            return cls(
                summary=PeriodSummary.model_validate_json(str(arrays["summary"])),
                channels=channels,
                words=WordShares(**words),
                trained=arrays["trained"],
                settings=str(arrays["settings"]),
            )
        except _UNREADABLE as error:
            raise UnreadableProfileError(f"{path} is no profile of this version: {error}") from error


def prepared(
    period: Period, settings: DriftSettings, encode: Encode | None, score: Score | None, trained: Numbers
) -> Period:
    """Return a side as it is compared: sampled by query where it is large, embedded, scored."""
    period = period.sample(settings.max_rows, settings.seed)
    if score is not None and period.queries and period.has("document"):
        period = period.scored(score, trained, settings.max_scored_rows, settings.seed)
    if encode is not None and period.queries:
        period = period.embedded(encode, settings.max_embedded_queries)
    return period


def _divided(period: Period) -> tuple[Period, Period]:
    """Return the oldest third, to fit on, and the others."""
    fitted = np.arange(period.queries) < period.queries // _HELD_OUT
    return period.part(fitted), period.part(~fitted)


def _reference(name: str, channel: Channel, vectors: Vectors) -> ReferenceChannel:
    queries = next(iter(vectors.values())).shape[0]
    block = np.arange(queries) * min(_BLOCKS, queries) // queries
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    sums = {test: _block_sums(matrix, block) for test, matrix in vectors.items()}
    counts = np.diff(np.append(starts, queries))
    mean = next(iter(sums.values())).sum(axis=0) / queries
    shown = channel.shown(vectors, mean)[np.linspace(0, queries - 1, min(_SHOWN, queries)).astype(int)]
    return ReferenceChannel(name, channel, sums, counts, shown)


def _block_sums(matrix: Any, block: Integers) -> Floats:
    from scipy.sparse import csr_array

    members = csr_array((np.ones(len(block)), (block, np.arange(len(block)))), shape=(block[-1] + 1, len(block)))
    summed = members @ matrix
    sums: Floats = summed if isinstance(summed, np.ndarray) else summed.toarray()
    return sums


def _restored(name: str, kind: type[Any], arrays: Mapping[str, Any]) -> ReferenceChannel:
    stored = {f.name: arrays[f"{name}/{f.name}"] for f in fields(kind)}
    channel = kind(**{key: value if value.ndim else str(value) for key, value in stored.items()})
    prefix = f"{name}/sums/"
    sums = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
    return ReferenceChannel(name, channel, sums, arrays[f"{name}/counts"], arrays[f"{name}/shown"])
