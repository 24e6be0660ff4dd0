"""What is mined: nothing relevant, nothing from another side of the split, nothing by chance."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.contracts.negatives import NEGATIVES_SCHEMA
from flows.contracts.pair import text_id
from flows.contracts.snapshot import SNAPSHOT_SCHEMA
from flows.mining import is_needed, mine
from flows.retrieval import RetrievalError, open_retriever
from flows.settings import MiningSettings, RetrievalSettings

Label = tuple[str, str, int, str]
"""Query, document, relevance and split."""


def snapshot(labels: Sequence[Label]) -> pa.Table:
    rows = [
        {
            "query_id": text_id(query),
            "document_id": text_id(document),
            "query": query,
            "document": document,
            "relevance": relevance,
            "source": "test",
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "split": split,
        }
        for query, document, relevance, split in labels
    ]
    return pa.Table.from_pylist(rows, SNAPSHOT_SCHEMA)


class Plane:
    """A retriever whose similarity of a pair is 1 - |number in the query - number in the document| / 100."""

    name = "plane"

    def __init__(self) -> None:
        self.documents: list[str] = []

    def index(self, documents: Sequence[str], provenance: Any = None, on_progress: Any = None) -> None:
        self.documents = list(documents)
        on_progress(len(documents), len(documents))

    def search(self, queries: Sequence[str], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        scores = np.array([self.score([query] * len(self.documents), self.documents) for query in queries])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return best, np.take_along_axis(scores, best, axis=1)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        pairs = zip(queries, documents, strict=True)
        return np.array([1 - abs(_number(query) - _number(document)) / 100 for query, document in pairs], np.float32)

    def close(self) -> None:
        self.documents = []


def _number(text: str) -> float:
    found = re.search(r"\d+(\.\d+)?", text)
    return float(found[0]) if found else 0.0


def rows(labels: Sequence[Label], **changes: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mine(snapshot(labels), Plane(), MiningSettings(**changes)).to_pylist()
    return found


def document_numbers(found: Sequence[dict[str, Any]], kind: str) -> list[float]:
    return [_number(row["document"]) for row in found if row["kind"] == kind]


def others(*numbers: float, split: str = "train") -> list[Label]:
    """Return documents that stand in the corpus through another query, far away."""
    return [("query 1000", f"document {number}", int(number == numbers[0]), split) for number in numbers]


@pytest.mark.parametrize(
    ("against", "first"),
    [("best", 10), ("mean", 20), ("worst", 29)],  # 0.95 x 0.95, 0.85 and 0.75: farther than 9.75, 19.25 and 28.75
)
def test_a_mined_document_is_less_similar_than_the_relevant_ones_by_the_margin(against: str, first: int) -> None:
    labels = [("query 0", "document 5", 1, "train"), ("query 0", "document 25", 1, "train")]
    labels += others(*(number for number in range(40) if number not in (5, 25)))
    found = [row for row in rows(labels, against=against, mined=1, random=0) if row["query"] == "query 0"]
    assert document_numbers(found, "mined") == [first, first + 1]


def test_without_a_margin_the_nearest_are_taken() -> None:
    labels = [("query 0", "document 5", 1, "train"), *others(*range(6, 40), 1, 2, 3)]
    found = [row for row in rows(labels, margin=None, mined=3) if row["query"] == "query 0"]
    assert document_numbers(found, "mined") == [1, 2, 3]


def test_similarities_below_zero_keep_their_margin() -> None:
    labels = [("query 0", "document 300", 1, "train"), *others(301, 305, 309, 311, 312)]  # -2, times 1.05: 310
    found = [row for row in rows(labels, mined=2, random=0) if row["query"] == "query 0"]
    assert document_numbers(found, "mined") == [311, 312]


def test_labelled_negatives_come_along_and_are_not_mined_again() -> None:
    labels = [("query 0", "document 1", 1, "train"), ("query 0", "document 9", 0, "train"), *others(10, 11, 12)]
    found = [row for row in rows(labels, mined=2, random=0) if row["query"] == "query 0"]
    assert [(row["kind"], _number(row["document"])) for row in found] == [
        ("labelled", 9),
        ("mined", 10),
        ("mined", 11),
    ]
    assert found[0]["similarity"] == pytest.approx(0.91)


def test_copies_of_relevant_documents_and_of_the_query_are_not_mined() -> None:
    labels = [
        ("query 50", "document 50", 1, "train"),
        ("query 50", "other 90", 1, "train"),
        *others(70, 71),
        ("query 1000", "Other, 90!", 0, "train"),
        ("query 1000", "Query 50", 0, "train"),
        ("query 1000", "document 71 .", 0, "train"),
    ]
    table = snapshot(labels)
    found = mine(table, Plane(), MiningSettings(margin=None, mined=9, random=0)).to_pylist()
    mined = [row["document"].rstrip(" .") for row in found if row["query"] == "query 50" and row["kind"] == "mined"]
    assert sorted(mined) == ["document 70", "document 71"]


def test_a_document_of_another_side_is_never_shown_to_the_retriever() -> None:
    labels = [("query 0", "document 0", 1, "train"), *others(*range(10, 20))]
    labels += [("query 500", f"document {number}", number % 2, "test") for number in range(5, 25)]
    labels += [("query 600", f"document {number}", number % 2, "validation") for number in range(7, 27)]
    retriever = Plane()

    found = mine(snapshot(labels), retriever, MiningSettings(mined=5, random=5)).to_pylist()

    allowed = {document for _, document, _, split in labels if split == "train"}
    assert set(retriever.documents) == allowed
    assert {row["document"] for row in found} <= allowed
    assert {row["query"] for row in found} <= {"query 0", "query 1000"}


def test_random_documents_fill_up_and_are_none_that_the_margin_turned_down() -> None:
    labels = [("query 0", "document 30", 1, "train"), *others(1, 2, 3, *range(40, 60))]
    found = [row for row in rows(labels, mined=30, random=2) if row["query"] == "query 0"]
    assert document_numbers(found, "mined") == list(range(40, 60))
    assert document_numbers(found, "random") == []  # 1, 2 and 3 are nearer than the relevant one

    found = [row for row in rows(labels, mined=2, random=2, depth=5) if row["query"] == "query 0"]
    assert document_numbers(found, "mined") == [40]  # found are 1, 2, 3, 30, 40: of these one is far enough
    assert len(document_numbers(found, "random")) == 3


def test_no_training_pairs_give_no_negatives() -> None:
    found = mine(snapshot([("query 0", "document 0", 1, "test")]), Plane(), MiningSettings())
    assert found.schema == NEGATIVES_SCHEMA
    assert found.num_rows == 0


def test_progress_ends_at_the_end() -> None:
    told: list[tuple[int, int]] = []
    labels = [(f"query {n}", f"document {n + k}", int(k == 0), "train") for n in range(7) for k in range(3)]
    mine(snapshot(labels), Plane(), MiningSettings(chunk=2), lambda done, of: told.append((done, of)))
    assert told == [(9, 16), (11, 16), (13, 16), (15, 16), (16, 16)]


def test_bm25_mines_as_well() -> None:
    labels = [
        ("sort an array", "sort an array along an axis", 1, "train"),
        ("open a database", "open the database connection", 1, "train"),
        ("open a database", "sort the database rows", 0, "train"),
        ("mean of an array", "mean of an array without missing values", 1, "train"),
        ("mean of an array", "the median of an array", 0, "train"),
    ]
    retriever = open_retriever(RetrievalSettings(kind="bm25"))
    found = mine(snapshot(labels), retriever, MiningSettings(mined=1, random=0)).to_pylist()
    mined = {row["query"]: row["document"] for row in found if row["kind"] == "mined"}
    assert mined["sort an array"] in {"sort the database rows", "the median of an array"}
    assert {row["document"] for row in found if row["kind"] == "labelled"} == {
        "sort the database rows",
        "the median of an array",
    }


def test_a_retriever_that_fails_is_not_hidden() -> None:
    with pytest.raises(RetrievalError, match="hold no words"):
        mine(snapshot([("q", "?", 1, "train")]), open_retriever(RetrievalSettings(kind="bm25")), MiningSettings())


@pytest.mark.slow
def test_the_embedded_qdrant_mines_with_the_tiny_bi_encoder(tmp_path: Path) -> None:
    from tests.flows.retrieval.tiny import tiny_weights

    labels = [(f"query {n}", f"sort the list {n + k}", int(k == 0), "train") for n in range(9) for k in range(4)]
    dense = {"kind": "bi-encoder", "bi_encoder": tiny_weights()}
    tables = []
    for index in ("qdrant", "memory"):
        retriever = open_retriever(RetrievalSettings(**dense, index=index), tmp_path)
        tables.append(mine(snapshot(labels), retriever, MiningSettings(margin=None)))
        retriever.close()
    counts = [Counter(table["kind"].to_pylist()) for table in tables]
    assert counts[0] == counts[1]
    assert counts[0]["mined"] == 18


_numbers = st.integers(0, 60)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(_numbers, _numbers, st.booleans(), st.sampled_from(["train", "train", "validation", "test"])),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([None, 0.0, 0.05, 0.3]),
    st.integers(1, 4),
)
def test_what_holds_of_every_table(
    drawn: list[tuple[int, int, bool, str]], mined: int, random: int, margin: float | None, chunk: int
) -> None:
    sides = {query: split for query, _, _, split in drawn}
    pairs = {(query, document): relevance for query, document, relevance, _ in drawn}
    labels = [(f"query {q}", f"document {d}", int(r), sides[q]) for (q, d), r in pairs.items()]
    chosen = MiningSettings(mined=mined, random=random, margin=margin, depth=20, chunk=chunk)
    found = mine(snapshot(labels), Plane(), chosen)
    found.validate(full=True)
    assert found.schema == NEGATIVES_SCHEMA
    assert mine(snapshot(labels), Plane(), chosen).equals(found)

    train = {(query, document): relevance for query, document, relevance, split in labels if split == "train"}
    corpus = {document for _, document in train}
    negatives = found.to_pylist()
    assert [row["query_id"] for row in negatives] == sorted(row["query_id"] for row in negatives)
    keys = [(row["query"], row["document"]) for row in negatives]
    assert len(keys) == len(set(keys))
    labelled = {key for key, row in zip(keys, negatives, strict=True) if row["kind"] == "labelled"}
    assert labelled == {key for key, relevance in train.items() if not relevance}
    for row in negatives:
        key = row["query"], row["document"]
        assert (row["query_id"], row["document_id"]) == (text_id(key[0]), text_id(key[1]))
        assert row["document"] in corpus
        assert row["similarity"] == pytest.approx(Plane().score([key[0]], [key[1]])[0])
        assert (key in train) == (row["kind"] == "labelled")
        relevant = [document for (query, document), relevance in train.items() if query == key[0] and relevance]
        if row["kind"] != "labelled":
            assert relevant
        if row["kind"] == "mined" and margin is not None:
            mean = Plane().score([key[0]] * len(relevant), relevant).mean()
            assert row["similarity"] <= mean - margin * abs(mean) + 1e-6
    for query, _ in train:
        kinds = Counter(row["kind"] for row in negatives if row["query"] == query)
        positives = sum(relevance for (asked, _), relevance in train.items() if asked == query)
        assert kinds["mined"] <= mined * positives
        assert kinds["mined"] + kinds["random"] <= (mined + random) * positives


@pytest.mark.parametrize(
    ("labels", "needed"),
    [
        ([("1", "2", 1, "train"), ("1", "3", 0, "train"), ("1", "4", 0, "train")], False),
        ([("1", "2", 1, "train"), ("1", "3", 0, "train")], True),
        ([("1", "3", 0, "train")], False),  # nothing to learn from, so nothing to add
        ([], False),
    ],
)
def test_mining_is_needed_where_a_query_is_thin(labels: list[Label], needed: bool) -> None:
    table = snapshot(labels)
    assert is_needed(table, 2, MiningSettings()) is needed
    assert is_needed(table, 2, MiningSettings(when="always")) is bool(labels)
    assert not is_needed(table, 2, MiningSettings(when="never"))
    assert not is_needed(table, 2, MiningSettings(mined=0, random=0))
