"""A light detector of text unlike anything that the model was trained on, from the token ids that are there anyway.

Two things are known of a text: the mean surprisal of its tokens under the snapshot's smoothed unigram model (another
domain, another language, gibberish, code), and the share of its tokens that are repeats (spam, markup, code). Both
vary more where texts are short, so each is measured in standard deviations of texts of a similar length, and what
both exceed the usual by is added up. Queries and documents have their own model. Hashed bigrams hardly separated
better and cost more; `tests/benchmarks/unusual.py` measures.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from bento.model.engine import UnusableModelError

INPUTS_FILE = "inputs.npz"
EXPECTED_RATE = 0.01
"""Share of the snapshot's own queries, and of its own documents, that would be flagged as new ones."""

MIN_TEXTS = 50
MAX_TEXTS = 50_000
"""Of each side; of more, so many at even distances are used."""

_FOLDS = 5
_BITS = 12.0
"""Surprisal is kept in twelfths of a bit, so that a byte reaches to 21 bits: beyond any vocabulary's rarest token."""
_SMOOTHING = 0.5
_BUCKETS = 16
"""Lengths share a bucket when they have as many binary digits: 1, 2 to 3, 4 to 7, ..."""
_MIN_IN_BUCKET = 50
_LENGTH_MARGIN = 2
"""A text this many times longer than the longest, or shorter than the shortest, is unusual for that alone."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Side:
    """What is usual of queries, or of documents."""

    surprisal: bytes
    """Of each token id, in twelfths of a bit."""
    by_length: tuple[tuple[float, float, float, float], ...]
    """For each bucket of lengths: the usual mean surprisal of a text and its spread, the usual share of repeated
    tokens and its spread."""
    limit: float
    """Spreads that surprisal and repetition together may exceed the usual by."""
    shortest: float
    longest: float

    def flags(self, ids: Sequence[int]) -> bool:
        length = len(ids)
        if not self.shortest <= length <= self.longest or not length:
            return True
        usual, spread, usual_repeats, repeats_spread = self.by_length[min(length.bit_length(), _BUCKETS - 1)]
        excess = (sum(map(self.surprisal.__getitem__, ids)) / length - usual) / spread
        repeats = (1 - len(set(ids)) / length - usual_repeats) / repeats_spread
        return max(excess, 0.0) + max(repeats, 0.0) > self.limit


class UnusualInputs:
    """Says which queries and documents are unlike the training snapshot's."""

    def __init__(self, query: _Side, document: _Side) -> None:
        self._query = query
        self._document = document

    @classmethod
    def fit(
        cls,
        queries: Sequence[list[int]],
        documents: Sequence[list[int]],
        vocabulary_size: int,
        expected_rate: float = EXPECTED_RATE,
    ) -> Self:
        """Learn what is usual.

        The limit is set on held-out texts: the texts are cut into five runs in the order given (by time, ideally, so
        that a run differs from the rest as new texts will), and each run is measured under the tokens of the other
        four. Of those measurements the share `expected_rate` lies beyond the limit, of queries and of documents each;
        so of new pairs at most about twice that share is flagged, as long as nothing changes.

        Args:
            queries: Token ids of each text of the training side, without special tokens; repeated ones count once.
            documents: The same.
            vocabulary_size: More than any token id.
            expected_rate: See above.

        Raises:
            ValueError: there are fewer than MIN_TEXTS distinct texts on a side, or an id is not in the vocabulary.
        """
        sides = (
            _fit(name, texts, vocabulary_size, expected_rate)
            for name, texts in (("queries", queries), ("documents", documents))
        )
        return cls(*sides)

    @property
    def vocabulary_size(self) -> int:
        """Ids must be below it."""
        return len(self._query.surprisal)

    def flags(self, query_ids: Sequence[int], document_ids: Sequence[int]) -> bool:
        """Return whether the query or the document is unusual; ids without special tokens."""
        return self.flags_query(query_ids) or self.flags_document(document_ids)

    def flags_query(self, ids: Sequence[int]) -> bool:
        """Return whether a query is unusual: once for all the pairs of a request."""
        return self._query.flags(ids)

    def flags_document(self, ids: Sequence[int]) -> bool:
        """Return whether a document is unusual."""
        return self._document.flags(ids)

    def save(self, folder: Path) -> None:
        """Write `inputs.npz` (no pickle, some tens of kB) into `folder`."""
        sides = (self._query, self._document)
        np.savez_compressed(
            folder / INPUTS_FILE,
            surprisal=np.stack([np.frombuffer(side.surprisal, np.uint8) for side in sides]),
            by_length=np.array([side.by_length for side in sides]),
            limits=np.array([(side.limit, side.shortest, side.longest) for side in sides]),
        )

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the detector in `folder`, None where there is none; UnusableModelError where it is broken."""
        path = folder / INPUTS_FILE
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                surprisal, by_length, limits = file["surprisal"], file["by_length"], file["limits"]
            whole = (
                surprisal.dtype == np.uint8
                and surprisal.ndim == 2
                and (len(surprisal), by_length.shape, limits.shape) == (2, (2, _BUCKETS, 4), (2, 3))
                and bool(np.isfinite(by_length).all() and np.isfinite(limits).all())
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            whole = False
        if not whole:
            raise UnusableModelError(f"{path} is broken: package the model again, or remove the file to do without")
        sides = (
            _Side(table.tobytes(), tuple(tuple(bucket) for bucket in buckets.tolist()), *limit.tolist())
            for table, buckets, limit in zip(surprisal, by_length, limits, strict=True)
        )
        return cls(*sides)


@dataclass(frozen=True)
class _Texts:
    """Many texts as one run of tokens."""

    tokens: Ints
    text: Ints
    """Which text each token belongs to."""
    lengths: Ints
    fold: Ints
    """Which held-out run each text belongs to."""

    @classmethod
    def of(cls, texts: Sequence[tuple[int, ...]]) -> Self:
        lengths = np.array([len(text) for text in texts], np.int64)
        tokens = np.fromiter((token for text in texts for token in text), np.int64, int(lengths.sum()))
        numbers = np.arange(len(texts))
        return cls(tokens, np.repeat(numbers, lengths), lengths, numbers * _FOLDS // len(texts))


def _fit(name: str, given: Sequence[list[int]], vocabulary_size: int, expected_rate: float) -> _Side:
    distinct = list(dict.fromkeys(tuple(ids) for ids in given if ids))
    if len(distinct) < MIN_TEXTS:
        raise ValueError(
            f"{len(distinct)} distinct {name} are too few to learn what is usual: {MIN_TEXTS} are needed"
        )
    texts = _Texts.of(distinct[:: -(-len(distinct) // MAX_TEXTS)])
    if texts.tokens.min() < 0 or texts.tokens.max() >= vocabulary_size:
        raise ValueError(f"{name} hold token ids beyond the vocabulary of {vocabulary_size}")

    counts = np.bincount(texts.tokens, minlength=vocabulary_size)
    surprisal = _held_out_surprisal(texts, counts)
    repeats = _repeats(texts)
    buckets = _buckets(texts.lengths)
    one_token = 1.0 / np.maximum(1, 1 << np.maximum(0, np.arange(_BUCKETS) - 1))  # of the bucket's shortest text
    usual, spread = _usual_and_spread(surprisal, buckets, one_token * _BITS)
    usual_repeats, repeats_spread = _usual_and_spread(repeats, buckets, one_token)
    excess = np.maximum(0, (surprisal - usual[buckets]) / spread[buckets]) + np.maximum(
        0, (repeats - usual_repeats[buckets]) / repeats_spread[buckets]
    )
    return _Side(
        surprisal=_surprisal(counts).astype(np.uint8).tobytes(),
        by_length=tuple(
            zip(*(each.tolist() for each in (usual, spread, usual_repeats, repeats_spread)), strict=True)
        ),
        limit=float(np.sort(excess)[-1 - int(expected_rate * len(excess))]),
        shortest=float(texts.lengths.min() / _LENGTH_MARGIN),
        longest=float(texts.lengths.max() * _LENGTH_MARGIN),
    )


def _surprisal(counts: Ints) -> Floats:
    """Return -log2 of each token's share (add-one-half smoothing), in whole twelfths of a bit."""
    smoothed = counts + _SMOOTHING
    return np.asarray(np.minimum(255.0, np.rint(-np.log2(smoothed / smoothed.sum()) * _BITS)))


def _held_out_surprisal(texts: _Texts, counts: Ints) -> Floats:
    """Return the mean surprisal of each text under the tokens of the other folds."""
    token_fold = texts.fold[texts.text]
    surprisal = np.empty(len(texts.tokens))
    for fold in range(_FOLDS):
        inside = token_fold == fold
        others = counts - np.bincount(texts.tokens[inside], minlength=len(counts))
        surprisal[inside] = _surprisal(others)[texts.tokens[inside]]
    return np.asarray(np.bincount(texts.text, weights=surprisal) / texts.lengths)


def _repeats(texts: _Texts) -> Floats:
    """Return the share of each text's tokens that were there before in it."""
    order = np.lexsort((texts.tokens, texts.text))
    token, text = texts.tokens[order], texts.text[order]
    again = (token[1:] == token[:-1]) & (text[1:] == text[:-1])
    return np.asarray(np.bincount(text[1:][again], minlength=len(texts.lengths)) / texts.lengths)


def _buckets(lengths: Ints) -> Ints:
    return np.minimum(np.frexp(lengths)[1], _BUCKETS - 1).astype(
        np.int64
    )  # the exponent is the count of binary digits


def _usual_and_spread(values: Floats, buckets: Ints, least: Floats) -> tuple[Floats, Floats]:
    """Return median and upward spread (as of a standard deviation) of each bucket; shape (_BUCKETS,) each.

    A bucket with few texts takes in its neighbours, nearest first, until they are enough.
    """
    usual, spread = np.empty(_BUCKETS), np.empty(_BUCKETS)
    for bucket in range(_BUCKETS):
        away = np.abs(buckets - bucket)
        counted = np.cumsum(np.bincount(away, minlength=_BUCKETS))
        inside = values[away <= np.searchsorted(counted, min(_MIN_IN_BUCKET, len(values)))]
        usual[bucket], upper = np.quantile(inside, (0.5, 0.95))
        spread[bucket] = max((upper - usual[bucket]) / 1.645, least[bucket])
    return usual, spread
