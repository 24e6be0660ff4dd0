"""From labelled pairs to the rows of each loss."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.contracts.negatives import NEGATIVES_SCHEMA
from flows.contracts.snapshot import SNAPSHOT_SCHEMA
from flows.settings import MiningSettings, TrainingSettings
from flows.training.examples import training_rows

Labels = list[tuple[int, int | None]]
LABEL = st.one_of(st.tuples(st.integers(0, 1), st.none()), st.sampled_from([(0, 0), (0, 1), (1, 2), (1, 3)]))
QUERIES = st.lists(st.lists(LABEL, min_size=1, max_size=20), min_size=2, max_size=8).filter(
    lambda queries: any(relevance for query in queries for relevance, _ in query)
)


def table(queries: list[Labels]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "query_id": f"q{i:02}",
                "document_id": f"d{i:02}-{j:02}",
                "query": f"query {i}",
                "document": f"document {i} {j}",
                "relevance": relevance,
                "source": "made",
                "created_at": datetime(2026, 1, 1, tzinfo=UTC),
                "grade": grade,
                "subject_id": None,
                "split": "train",
            }
            for i, labels in enumerate(queries)
            for j, (relevance, grade) in enumerate(labels)
        ],
        SNAPSHOT_SCHEMA,
    )


@settings(deadline=None)
@given(QUERIES, st.integers(2, 12), st.integers(1, 4), st.sampled_from(["listwise", "lambda"]))
def test_a_list_holds_its_querys_documents_with_their_gains(
    queries: list[Labels], size: int, negatives: int, loss: str
) -> None:
    rows = training_rows(
        table(queries), TrainingSettings.model_validate({"loss": loss, "list_size": size, "negatives": negatives})
    )
    assert [row["query"] for row in rows] == [
        f"query {i}" for i, labels in enumerate(queries) if any(relevance for relevance, _ in labels)
    ]
    for row in rows:
        number = int(row["query"].split()[1])
        labels = queries[number]
        worth = {
            f"document {number} {j}": float(max(relevance, grade or 0)) for j, (relevance, grade) in enumerate(labels)
        }
        given_labels = dict(zip(row["documents"], row["labels"], strict=True))
        assert len(given_labels) == len(row["documents"]) <= size
        assert all(label == worth.get(document, 0.0) for document, label in given_labels.items())
        relevant = sum(relevance for relevance, _ in labels)
        kept = sum(labels[int(document.split()[2])][0] for document in given_labels if document in worth)
        assert kept == min(relevant, size - 1)
        if len(labels) <= size and relevant < size:
            assert worth.keys() <= given_labels.keys()


@settings(deadline=None)
@given(QUERIES, st.integers(1, 4))
def test_tuples_have_one_relevant_document_and_as_many_negatives_each(queries: list[Labels], negatives: int) -> None:
    rows = training_rows(table(queries), TrainingSettings(loss="cached-mnrl", negatives=negatives))
    for row in rows:
        number = int(row["query"].split()[1])
        own = {f"document {number} {j}" for j, (relevance, _) in enumerate(queries[number]) if relevance}
        drawn = [text for name, text in row.items() if name.startswith("negative_")]
        assert row["relevant"] in own
        assert len(drawn) == negatives
        assert not own & set(drawn)


@pytest.mark.parametrize("loss", ["listwise", "lambda", "cached-mnrl"])
def test_the_same_seed_draws_the_same(loss: str) -> None:
    queries: list[Labels] = [[(1, None)] + [(0, None)] * 20] * 5
    one, again, other = (
        list(training_rows(table(queries), TrainingSettings.model_validate({"loss": loss, "seed": seed})))
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def mined(per_query: list[int]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "query_id": f"q{i:02}",
                "document_id": f"m{i:02}-{j:02}",
                "query": f"query {i}",
                "document": f"mined {i} {j}",
                "kind": kind,
                "similarity": 1.0 - j / 10,
            }
            for i, count in enumerate(per_query)
            for j, kind in enumerate(["labelled", *["mined"] * count])
        ],
        NEGATIVES_SCHEMA,
    )


@pytest.mark.parametrize("loss", ["listwise", "lambda", "cached-mnrl", "bce"])
def test_thin_queries_are_topped_up_with_mined_documents_in_their_order(loss: str) -> None:
    queries: list[Labels] = [[(1, None), (0, None)], [(1, None)] + [(0, None)] * 5]
    settings = TrainingSettings.model_validate({"loss": loss, "negatives": 3})
    taken: dict[str, list[str]] = {"query 0": [], "query 1": []}
    for row in training_rows(table(queries), settings, mined([5, 5])):
        texts = row.get("documents") or [text for name, text in row.items() if name not in ("query", "label")]
        taken[row["query"]] += [text for text in texts if text.startswith("mined")]
        for text, label in zip(texts, row.get("labels", [row.get("label")]), strict=False):
            assert not text.startswith("mined") or not label
    assert taken == {"query 0": ["mined 0 1", "mined 0 2"], "query 1": []}


def test_where_mining_is_always_done_lists_are_filled_with_mined_documents() -> None:
    settings = TrainingSettings(list_size=6, mining=MiningSettings(when="always"))
    (row, *_) = training_rows(table([[(1, None), (0, None)], [(1, None), (0, None)]]), settings, mined([9, 0]))
    assert row["documents"] == ["document 0 0", "document 0 1", *(f"mined 0 {j}" for j in range(1, 5))]


def test_rivals_share_everything_but_the_loss() -> None:
    recipes = TrainingSettings(loss="lambda", rivals=("bce", "lambda", "listwise")).recipes()
    assert [recipe.loss for recipe in recipes] == ["lambda", "bce", "listwise"]
    assert recipes[0].digest() == TrainingSettings(loss="lambda").digest()
    assert len({recipe.digest() for recipe in recipes}) == 3
