"""What a teacher says about the documents of the training split, labelled or not."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.scorer import Scorer
from flows.retrieval import Retriever
from flows.settings import StudentSettings
from flows.training.rows import Row, Rows

_log = logging.getLogger(__name__)

_QUERIES_A_SEARCH = 256
_MOST_FOUND = 200  # by one search: a query's own documents may stand first
_PAIRS_A_CALL = 1_024  # between two looks at the clock
_LEAST = 1e-9  # of a target's probability, whose logarithm is taken


@dataclass(frozen=True)
class _Labelled:
    """A query with its labelled documents."""

    query: str
    relevant: list[str]
    other: list[str]


@dataclass(frozen=True)
class Lesson:
    """Documents of a query that a student learns to rank as its teacher does."""

    query: str
    documents: list[str]
    relevant: list[bool]
    """By label; a document without one is not."""


def make_lessons(table: pa.Table, settings: StudentSettings, retriever: Retriever | None, seed: int) -> list[Lesson]:
    """Return the lists of `table` (SNAPSHOT_SCHEMA), in random order, the same for the same table and seed.

    Each query has its labelled documents and, since a teacher needs no labels (Hinton et al. 2015, arXiv:1503.02531),
    documents that `retriever` finds for it in the table, and others drawn at random. They are cut into lists of at
    most `settings.list_size`; a list of one document is left out.
    """
    random = np.random.default_rng(seed)
    queries = _labelled(_sample(table, settings, random))
    corpus = list(dict.fromkeys(document for query in queries for document in (*query.relevant, *query.other)))
    found = _found(queries, corpus, settings.retrieved_documents, retriever)
    drawn = random.integers(max(len(corpus), 1), size=(len(queries), settings.random_documents))
    lessons: list[Lesson] = []
    for query, retrieved, places in zip(queries, found, drawn, strict=True):
        others = [*query.other, *retrieved, *(corpus[place] for place in places)]
        documents = list(dict.fromkeys([*query.relevant, *others]))
        lessons += _cut(query, documents, settings.list_size, random)
    return [lessons[place] for place in random.permutation(len(lessons))]


def teach(
    lessons: Sequence[Lesson],
    teacher: Scorer,
    minutes: float,
    file: Path,
    on_scored: Callable[[int, int], None] = lambda done, total: None,
) -> list[npt.NDArray[np.float32]]:
    """Return the teacher's logits for each lesson, in order; fewer than lessons where the time was too short.

    They are kept in `file` (NumPy, one number a pair, no text), and read from there the next time: so students of
    several depths, and one that goes on after a kill, learn from the same.
    """
    sizes = [len(lesson.documents) for lesson in lessons]
    logits = _read(file, sum(sizes))
    if logits is None:
        logits = _score(lessons, teacher, time.monotonic() + 60 * minutes, on_scored)
        partial = file.with_name(file.name + ".partial")
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as content:
            np.save(content, logits)
        partial.replace(file)
    ends = np.cumsum(sizes)
    taught = int(np.searchsorted(ends, len(logits), side="right"))
    if taught < len(lessons):
        _log.warning("The teacher had time for %d of %d lists; the students learn from these.", taught, len(lessons))
    return np.split(logits[: ends[taught - 1]], ends[: taught - 1]) if taught else []


def fingerprint(lessons: Sequence[Lesson], teacher_digest: str) -> str:
    """Return the SHA-256 over the teacher and all texts it is asked about, in order."""
    total = hashlib.sha256(teacher_digest.encode())
    for lesson in lessons:
        for text in (lesson.query, *lesson.documents):
            encoded = text.encode()
            total.update(len(encoded).to_bytes(8, "little") + encoded)
        total.update(b"\n")
    return total.hexdigest()


def lesson_rows(
    lessons: Sequence[Lesson], logits: Sequence[npt.NDArray[np.float32]], settings: StudentSettings
) -> Rows:
    """Return the rows for the loss of `settings`; `logits` may end before `lessons` do."""
    queries: list[str] = []
    documents: list[str] = []
    labels: list[float] = []
    starts: list[int] = []
    for lesson, given in zip(lessons, logits, strict=False):
        for together, of_each in _parts(lesson, given, settings):
            starts.append(len(documents))
            queries += [lesson.query] * len(together)
            documents += together
            labels += of_each
    return Rows(
        pa.table({"query": queries, "document": documents}),
        np.arange(len(documents), dtype=np.int32),
        np.array(labels, np.float32),
        np.array(starts, np.int64),
        {"listwise": _as_list, "margin-mse": _as_margin, "mse": _as_pair}[settings.loss],
    )


def _parts(
    lesson: Lesson, logits: npt.NDArray[np.float32], settings: StudentSettings
) -> Iterator[tuple[list[str], list[float]]]:
    """Yield the documents of each row of a lesson with their labels: all together, by twos, or each alone."""
    if settings.loss == "listwise":
        yield lesson.documents, _targets(logits, lesson.relevant, settings.hard_share).tolist()
        return
    size = 2 if settings.loss == "margin-mse" else 1
    for start in range(0, len(logits) - size + 1, size):
        yield lesson.documents[start : start + size], logits[start : start + size].tolist()


def _as_list(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "documents": documents, "labels": labels}


def _as_margin(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "one": documents[0], "other": documents[1], "label": labels[0] - labels[1]}


def _as_pair(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "document": documents[0], "label": labels[0]}


def _sample(table: pa.Table, settings: StudentSettings, random: np.random.Generator) -> pa.Table:
    """Return the pairs of as many queries as `settings.max_pairs` allow, drawn at random."""
    counts = table.group_by("query_id").aggregate([("query_id", "count")]).sort_by("query_id")
    order = random.permutation(counts.num_rows)
    more = settings.retrieved_documents + settings.random_documents
    pairs = np.cumsum(counts["query_id_count"].to_numpy()[order] + more)
    chosen = order[: np.searchsorted(pairs, settings.max_pairs, side="right")]
    if len(chosen) == counts.num_rows:
        return table
    return table.filter(pc.is_in(table["query_id"], counts["query_id"].take(chosen).combine_chunks()))


def _labelled(table: pa.Table) -> list[_Labelled]:
    """Gather `table` by query, in order of the query's id."""
    gathered: dict[str, _Labelled] = {}
    for row in table.sort_by([("query_id", "ascending"), ("document_id", "ascending")]).to_pylist():
        found = gathered.setdefault(row["query_id"], _Labelled(row["query"], [], []))
        (found.relevant if row["relevance"] else found.other).append(row["document"])
    return list(gathered.values())


def _found(
    queries: Sequence[_Labelled], corpus: Sequence[str], count: int, retriever: Retriever | None
) -> Iterator[list[str]]:
    """Yield for each query up to `count` documents of other queries, best first."""
    if retriever is None or count == 0 or not queries:
        yield from ([] for _ in queries)
        return
    retriever.index(corpus)
    own = [{*query.relevant, *query.other} for query in queries]
    top_k = min(_MOST_FOUND, count + max(map(len, own)))
    for start in range(0, len(queries), _QUERIES_A_SEARCH):
        part = queries[start : start + _QUERIES_A_SEARCH]
        positions, _ = retriever.search([query.query for query in part], top_k)
        for known, row in zip(own[start:], positions, strict=False):
            others = (corpus[position] for position in row if corpus[position] not in known)
            yield [document for document, _ in zip(others, range(count), strict=False)]


def _cut(query: _Labelled, documents: Sequence[str], size: int, random: np.random.Generator) -> Iterator[Lesson]:
    """Yield the documents in lists of nearly equal size, shuffled."""
    relevant = set(query.relevant)
    for part in np.array_split(random.permutation(len(documents)), -(-len(documents) // size)):
        if len(part) > 1:
            texts = [documents[place] for place in part]
            yield Lesson(query.query, texts, [text in relevant for text in texts])


def _score(
    lessons: Sequence[Lesson], teacher: Scorer, until: float, on_scored: Callable[[int, int], None]
) -> npt.NDArray[np.float32]:
    pairs = [(lesson.query, document) for lesson in lessons for document in lesson.documents]
    parts: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(pairs), _PAIRS_A_CALL):
        if parts and time.monotonic() >= until:
            break
        queries, documents = zip(*pairs[start : start + _PAIRS_A_CALL], strict=True)
        parts.append(teacher.score(queries, documents))
        on_scored(start + len(queries), len(pairs))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _read(file: Path, most: int) -> npt.NDArray[np.float32] | None:
    """Return what an earlier teaching kept, None where there is nothing that could be it."""
    try:
        logits: npt.NDArray[np.float32] = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        _log.warning("The teacher's scores in %s are damaged; it scores again.", file)
        return None
    usable = logits.ndim == 1 and logits.dtype == np.float32 and 0 < len(logits) <= most
    return logits if usable and np.isfinite(logits).all() else None


def _targets(logits: npt.NDArray[np.float32], relevant: Sequence[bool], hard_share: float) -> npt.NDArray[np.float64]:
    """Return the logarithms of what the student's softmax should be, shape (documents,).

    The teacher's softmax, mixed with an even share for each relevant document where there is one: the cross-entropy
    with a mixture is the mixture of the cross-entropies, so one loss does for both (Hinton et al. 2015,
    arXiv:1503.02531).
    """
    soft = np.exp(logits.astype(np.float64) - logits.max())
    target = soft / soft.sum()
    if hard_share and any(relevant):
        hard = np.array(relevant, np.float64)
        target = (1 - hard_share) * target + hard_share * hard / hard.sum()
    logarithms: npt.NDArray[np.float64] = np.log(np.maximum(target, _LEAST))
    return logarithms
