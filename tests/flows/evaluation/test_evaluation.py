"""A scorer judged as a whole, and several side by side."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from flows.contracts.snapshot import SNAPSHOT_SCHEMA
from flows.evaluation import EvaluationError, comparison, evaluate


class LongestFirst:
    """Ranks by the document's length."""

    name = "longest first"

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([len(document) for document in documents], dtype=np.float32)


def table(*rows: tuple[str, str, int]) -> pa.Table:
    return pa.table(
        {
            "query_id": [query for query, _, _ in rows],
            "document_id": [document for _, document, _ in rows],
            "query": [query for query, _, _ in rows],
            "document": [document for _, document, _ in rows],
            "relevance": pa.array([relevance for _, _, relevance in rows], pa.int8()),
            "grade": pa.nulls(len(rows), pa.int8()),
        }
    )


def test_a_scorer_is_judged_per_query_and_on_average() -> None:
    assert set(table(("q", "d", 1)).column_names) < set(SNAPSHOT_SCHEMA.names)
    evaluation = evaluate(table(("a", "long", 1), ("a", "x", 0), ("b", "longer", 0), ("b", "y", 1)), LongestFirst())
    assert evaluation.scorer == "longest first"
    assert evaluation.per_query["mrr@10"].to_dict() == {"a": 1.0, "b": 0.5}
    assert evaluation.summary.metrics["mrr@10"] == 0.75


def test_scorers_stand_side_by_side_in_the_given_order() -> None:
    evaluation = evaluate(table(("a", "long", 1), ("a", "x", 0)), LongestFirst())
    _, _, first, second = comparison([evaluation, evaluation]).splitlines()
    assert first == second
    assert first.startswith("| longest first | 1 | 1.0000 | 1.0000 |")


def test_nothing_to_judge_is_said() -> None:
    with pytest.raises(EvaluationError, match="No query"):
        evaluate(table(("a", "long", 0), ("a", "x", 0)), LongestFirst())
