from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from flows.contracts.pair import text_id
from flows.contracts.snapshot import SNAPSHOT_SCHEMA
from flows.evaluation import EvaluationError, per_query_metrics, score_lists


class ByLength:
    """Scores a pair by the length of its document; remembers how many pairs each call had."""

    name = "by length"

    def __init__(self):
        self.calls = []

    def score(self, queries, documents):
        self.calls.append(len(documents))
        return np.array([len(d) for d in documents], dtype=np.float32)


class Giving:
    name = "broken model"

    def __init__(self, give):
        self.give = give

    def score(self, queries, documents):
        return self.give(len(documents))


def split(queries, candidates=3):
    rows = [
        {
            "query_id": text_id(f"query {q}"),
            "document_id": text_id(f"document {'x' * d}"),
            "query": f"query {q}",
            "document": f"document {'x' * d}",
            "relevance": int(d == 0),
            "source": "test",
            "created_at": datetime(2024, 1, 1, tzinfo=UTC),
            "grade": None if q % 2 else (3 if d == 0 else 0),
            "subject_id": None,
            "split": "test",
        }
        for q in range(queries)
        for d in range(candidates)
    ]
    return pa.Table.from_pylist(rows, schema=SNAPSHOT_SCHEMA)


def test_every_pair_is_scored_once_and_no_text_is_kept():
    scorer, seen = ByLength(), []
    table = split(2000)
    lists = score_lists(table, scorer, progress=lambda done, total: seen.append((done, total)))
    assert lists.columns.tolist() == ["query_id", "document_id", "relevance", "grade", "score"]
    assert lists["score"].tolist() == [len(d) for d in table["document"].to_pylist()]
    assert sum(scorer.calls) == 6000
    assert len(scorer.calls) > 1
    assert seen[-1] == (6000, 6000)
    assert [done for done, _ in seen] == np.cumsum(scorer.calls).tolist()


def test_grades_survive_beside_rows_that_have_none():
    lists = score_lists(split(2), ByLength())
    assert lists["grade"].isna().tolist() == [False] * 3 + [True] * 3
    # The longest document comes first, so the relevant shortest one is third: graded or not, 1/3 and 1/log2(4).
    assert per_query_metrics(lists)["ndcg@10"].tolist() == pytest.approx([0.5, 0.5])


def test_an_empty_split_is_refused():
    with pytest.raises(EvaluationError, match="empty"):
        score_lists(split(0), ByLength())


def test_a_table_without_labels_is_refused():
    with pytest.raises(EvaluationError, match="relevance"):
        score_lists(split(1).drop_columns(["relevance"]), ByLength())


@pytest.mark.parametrize("shape", [lambda n: (n - 1,), lambda n: (n, 1), lambda n: (n, 2)])
def test_a_score_for_each_pair_is_asked_for(shape):
    with pytest.raises(EvaluationError, match="broken model gave scores of shape"):
        score_lists(split(2), Giving(lambda n: np.zeros(shape(n))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_diverged_model_is_refused_by_name(value):
    with pytest.raises(EvaluationError, match="broken model gave 6 of 6 pairs a score that is NaN or infinite"):
        score_lists(split(2), Giving(lambda n: np.full(n, value, dtype=np.float32)))
