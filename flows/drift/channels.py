"""What is compared: each channel turns every query into a vector, and compares mean vectors.

A channel is fitted on the reference once: which words it knows, where the bins are. What a channel learned of some
queries fits these better than any new one, so where that matters (`held_out`) the queries it was fitted on are not
those that its quiet windows are drawn from (`flows.drift.profile`); else new text would look like drift.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from flows.drift.period import Floats, Integers, Period
from flows.drift.words import hashed_words

Names = npt.NDArray[np.str_]
Vectors = Mapping[str, Any]
"""For each statistic (a key of STATISTICS), a CSR matrix or array of shape (queries, d)."""

_BINS = 256
_DECILES = 10
_MANY = 5
_BUCKETS = 2**13
_FOURIER = 256
_UNFAMILIAR = 0.95
"""Quantile of the fitted queries' surprisal beyond which a text counts as out of distribution."""


class Channel(Protocol):
    """One thing that can drift, fitted on the reference. Fields are arrays, so that it is kept as plain numbers."""

    held_out: ClassVar[bool]
    sampled: ClassVar[bool]
    """Whether it reads so much of every text that large sides are sampled for it."""

    def vectors(self, period: Period) -> Vectors | None:
        """Return the vectors of each query of `period` that has the column, in order of time; None where none has."""
        ...

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return one plain value for each query, for a chart; `mean` is the reference's mean vector."""
        ...


@dataclass(frozen=True)
class Ordered:
    """A number for each row: lengths, counts of words, scores."""

    held_out: ClassVar[bool] = False
    sampled: ClassVar[bool] = False
    column: str
    measured: str
    """"length", "words" or "value"."""
    knots: Floats
    deciles: Floats

    @classmethod
    def fit(cls, column: str, measured: str, period: Period) -> Self | None:
        """Put the bins at the quantiles of `period`."""
        values = _measure(period, column, measured)
        if values is None:
            return None
        knots = np.unique(np.quantile(values, np.linspace(0, 1, _BINS), method="nearest"))
        return cls(column, measured, knots, np.unique(np.quantile(values, np.arange(1, _DECILES) / _DECILES)))

    def vectors(self, period: Period) -> Vectors | None:
        """Return indicators of the fine bins (Kolmogorov-Smirnov) and of the reference's deciles (PSI)."""
        period = period.having(self.column) if self.measured == "value" else period
        values = _measure(period, self.column, self.measured)
        if values is None:
            return None
        # Two codes a knot, for "between" and "equal": no value beside a knot hides in its bin.
        fine = np.searchsorted(self.knots, values, "left") + np.searchsorted(self.knots, values, "right")
        coarse = np.searchsorted(self.deciles, values, "left")
        return {
            "Kolmogorov-Smirnov": period.indicators(fine, 2 * len(self.knots) + 1),
            "PSI": period.indicators(coarse, len(self.deciles) + 1),
        }

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return each query's mean, as exactly as the bins are fine."""
        fine = vectors["Kolmogorov-Smirnov"]
        value: Floats = fine @ self.knots[np.minimum(np.arange(fine.shape[1]) // 2, len(self.knots) - 1)]
        return value


@dataclass(frozen=True)
class RelevantDocuments:
    """How many relevant documents each query has, which stays when negatives are undersampled."""

    held_out: ClassVar[bool] = False
    sampled: ClassVar[bool] = False
    labels: Names

    @classmethod
    def fit(cls, period: Period) -> Self | None:
        """Need nothing of the reference but its labels."""
        return cls(np.array([*map(str, range(_MANY)), f"{_MANY} or more"])) if period.has("relevance") else None

    def vectors(self, period: Period) -> Vectors | None:
        """Return indicators of 0, 1, ..., many relevant documents."""
        if not period.has("relevance"):
            return None
        matrix = period.indicators(np.minimum(period.relevant_documents(), _MANY)[period.query], len(self.labels))
        return {"chi-square": matrix, "KL divergence": matrix}

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return the number of each query, as text."""
        return _labelled(vectors["chi-square"], self.labels)


@dataclass(frozen=True)
class Source:
    """Where each query comes from; what the reference does not know is one category of its own."""

    held_out: ClassVar[bool] = False
    sampled: ClassVar[bool] = False
    labels: Names

    @classmethod
    def fit(cls, period: Period) -> Self | None:
        """Remember the sources of the reference."""
        return cls(np.array(sorted(set(period.texts("source")[0])))) if period.has("source") else None

    def vectors(self, period: Period) -> Vectors | None:
        """Return indicators of each known source, and of an unknown one."""
        if not period.has("source"):
            return None
        names, index = period.texts("source")
        known = {label: number for number, label in enumerate(self.labels.tolist())}
        codes = np.array([known.get(name, len(known)) for name in names], np.int64)[index]
        return {"chi-square": period.indicators(codes, len(known) + 1)}

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return the name of each query's source."""
        return _labelled(vectors["chi-square"], np.append(self.labels, "(not in the reference)"))


@dataclass(frozen=True)
class Words:
    """Which words are used: TF-IDF over hashed words, so that a new word counts as well as a known one."""

    held_out: ClassVar[bool] = True
    sampled: ClassVar[bool] = True
    column: str
    idf: Floats
    """Of each bucket."""

    @classmethod
    def fit(cls, column: str, period: Period) -> Self | None:
        """Take the inverse document frequencies of `period`."""
        if not period.has(column):
            return None
        distinct, index = period.texts(column)
        present = (hashed_words(distinct, _BUCKETS) > 0).astype(np.float64)
        frequency = np.asarray(present.T @ np.bincount(index, minlength=len(distinct))).ravel()
        return cls(column, np.log((1 + len(index)) / (1 + frequency)) + 1)

    def vectors(self, period: Period) -> Vectors | None:
        """Return each query's mean of its texts' TF-IDF vectors, each of length 1."""
        from scipy.sparse import diags_array
        from sklearn.preprocessing import normalize

        if not period.has(self.column):
            return None
        distinct, index = period.texts(self.column)
        counts = hashed_words(distinct, len(self.idf))
        counts.data = 1 + np.log(counts.data)
        vectors = normalize(counts @ diags_array(self.idf), copy=False)
        return {"TF-IDF cosine distance": period.means(vectors, index)}

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return how far each query lies in the direction of the reference's mean."""
        return _projected(vectors["TF-IDF cosine distance"], mean)


@dataclass(frozen=True)
class Unfamiliar:
    """The share of texts that are out of distribution: words as surprising as in few texts of the reference.

    A text's surprisal is the mean of -log P(word) under the reference's smoothed share of each hashed word.
    """

    held_out: ClassVar[bool] = True
    sampled: ClassVar[bool] = True
    column: str
    surprisal: Floats
    """Of each bucket, in nats."""
    limit: Floats
    """One number: what a familiar text does not exceed."""

    @classmethod
    def fit(cls, column: str, period: Period) -> Self | None:
        """Learn the words of `period`."""
        if not period.has(column):
            return None
        distinct, index = period.texts(column)
        counts = hashed_words(distinct, _BUCKETS)
        uses = np.asarray(counts.T @ np.bincount(index, minlength=len(distinct))).ravel()
        surprisal = -np.log((uses + 0.5) / (uses.sum() + 0.5 * _BUCKETS))
        return cls(column, surprisal, np.quantile(_surprisal(counts, surprisal), [_UNFAMILIAR]))

    def vectors(self, period: Period) -> Vectors | None:
        """Return the share of each query's texts that are out of distribution; shape (queries, 1)."""
        if not period.has(self.column):
            return None
        distinct, index = period.texts(self.column)
        surprising = _surprisal(hashed_words(distinct, len(self.surprisal)), self.surprisal) > self.limit[0]
        return {"rise of the share": period.means(surprising[:, None].astype(np.float64), index)}

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return the share of each query."""
        shares: Floats = vectors["rise of the share"].ravel()
        return shares


@dataclass(frozen=True)
class Meaning:
    """What texts mean: random Fourier features of sentence embeddings, whose squared mean distance is the MMD.

    The kernel is Gaussian, as wide as the median distance of two texts of the reference.
    """

    sampled: ClassVar[bool] = False
    held_out: ClassVar[bool] = False  # of the reference it takes nothing but one width
    column: str
    frequencies: Floats
    """Shape (dimension of the embeddings, D)."""
    phases: Floats
    """Shape (D,)."""

    @classmethod
    def fit(cls, column: str, period: Period, seed: int) -> Self | None:
        """Take the width of the kernel from the embeddings of `period`."""
        embeddings = period.embeddings.get(column)
        if embeddings is None or not len(embeddings):
            return None
        rng = np.random.default_rng(seed)
        one, other = rng.integers(0, len(embeddings), (2, 2_000))
        distances = np.linalg.norm(embeddings[one] - embeddings[other], axis=1)
        width = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
        frequencies = rng.normal(0, 1 / width, (embeddings.shape[1], _FOURIER))
        return cls(column, frequencies, rng.uniform(0, 2 * np.pi, _FOURIER))

    def vectors(self, period: Period) -> Vectors | None:
        """Return the features of one text of each query that was embedded; shape (queries, D)."""
        embeddings = period.embeddings.get(self.column)
        if embeddings is None or not len(embeddings) or embeddings.shape[1] != len(self.frequencies):
            return None
        features = np.cos(embeddings @ self.frequencies + self.phases) * np.sqrt(2 / len(self.phases))
        return {"MMD": features}

    def shown(self, vectors: Vectors, mean: Floats) -> npt.NDArray[Any]:
        """Return how far each query lies in the direction of the reference's mean."""
        return _projected(vectors["MMD"], mean)


KINDS: Mapping[str, type[Any]] = {
    kind.__name__: kind for kind in (Ordered, RelevantDocuments, Source, Words, Unfamiliar, Meaning)
}
"""By the name under which a channel is kept."""

NAMES: Mapping[str, tuple[str, ...]] = {
    **{f"{c} {what}": ("Kolmogorov-Smirnov", "PSI") for c in ("query", "document") for what in ("length", "words")},
    **{f"{c} text": ("TF-IDF cosine distance",) for c in ("query", "document")},
    **{f"{c} out of distribution": ("rise of the share",) for c in ("query", "document")},
    **{f"{c} meaning": ("MMD",) for c in ("query", "document")},
    "relevant documents": ("chi-square", "KL divergence"),
    "source": ("chi-square",),
    "champion's score": ("Kolmogorov-Smirnov", "PSI"),
}
"""Every channel and its statistics."""


def fit_channels(period: Period, held_out: Period, seed: int) -> Iterator[tuple[str, Channel]]:
    """Yield every channel whose column holds something: fitted on `held_out` where that matters, else on `period`."""
    fitted: dict[str, Channel | None] = {}
    for c in ("query", "document"):
        fitted[f"{c} length"] = Ordered.fit(c, "length", period)
        fitted[f"{c} words"] = Ordered.fit(c, "words", period)
        fitted[f"{c} text"] = Words.fit(c, held_out)
        fitted[f"{c} out of distribution"] = Unfamiliar.fit(c, held_out)
        fitted[f"{c} meaning"] = Meaning.fit(c, period, seed)
    fitted["relevant documents"] = RelevantDocuments.fit(period)
    fitted["source"] = Source.fit(period)
    fitted["champion's score"] = Ordered.fit("score", "value", period)
    for name in NAMES:
        channel = fitted[name]
        if channel is not None:
            yield name, channel


def _measure(period: Period, column: str, measured: str) -> Integers | Floats | None:
    """Return one number a row; None where `period` lacks the column."""
    if not period.has(column):
        return None
    values = period.rows[column]
    if measured == "value":
        numbers: Floats = pc.fill_null(values, 0.0).to_numpy()
        return numbers
    texts = pc.fill_null(values, "")
    counted = pc.utf8_length(texts) if measured == "length" else pc.count_substring_regex(texts, r"\S+")
    lengths: Integers = counted.to_numpy().astype(np.int64)
    return lengths


def _surprisal(counts: Any, surprisal: Floats) -> Floats:
    """Return the mean surprisal of each text's words; 0 for a text without words."""
    words = np.asarray(counts.sum(axis=1)).ravel()
    mean: Floats = np.divide(np.asarray(counts @ surprisal).ravel(), words, out=np.zeros(len(words)), where=words > 0)
    return mean


def _labelled(indicators: Any, labels: Names) -> npt.NDArray[Any]:
    named: npt.NDArray[Any] = labels.astype(object)[np.asarray(indicators.argmax(axis=1)).ravel()]
    return named


def _projected(vectors: Any, mean: Floats) -> Floats:
    length = np.linalg.norm(mean) or 1.0
    projected: Floats = np.asarray(vectors @ mean).ravel() / length
    return projected
