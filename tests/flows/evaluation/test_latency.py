"""Times of lists, side by side."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from flows.evaluation import EvaluationError
from flows.evaluation.latency import latencies


class Slow:
    """Takes its time over each list, and remembers the lists."""

    def __init__(self, name: str, milliseconds: float) -> None:
        self.name = name
        self.lists: list[tuple[Sequence[str], Sequence[str]]] = []
        self._seconds = milliseconds / 1_000

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        self.lists.append((queries, documents))
        until = time.perf_counter() + self._seconds
        while time.perf_counter() < until:
            pass
        return np.zeros(len(queries), np.float32)


def table(queries: int, candidates: int) -> pa.Table:
    rows = [(f"q{query}", f"d{query}-{document}") for query in range(queries) for document in range(candidates)]
    return pa.table(
        {
            "query_id": [query for query, _ in rows],
            "document_id": [document for _, document in rows],
            "query": [f"text of {query}" for query, _ in rows],
            "document": [f"text of {document}" for _, document in rows],
        }
    )


def test_times_are_those_of_one_list_of_ten() -> None:
    quick, slow = Slow("quick", 0.5), Slow("slow", 5)
    found = latencies([quick, slow], table(8, 12), lists=6)

    assert 0.5 <= found["quick"] < 4.9
    assert 5 <= found["slow"] < 30
    assert quick.lists == slow.lists
    assert len(quick.lists) == 1 + 3 * 6
    for queries, documents in quick.lists:
        assert len(set(queries)) == 1
        assert len(set(documents)) == 10


def test_short_lists_are_filled_up_to_ten() -> None:
    scorer = Slow("one", 0)
    latencies([scorer], table(5, 3))
    assert {len(documents) for _, documents in scorer.lists} == {10}
    assert all(queries[0].removeprefix("text of ") in {f"q{n}" for n in range(5)} for queries, _ in scorer.lists)


def test_nine_pairs_are_too_few() -> None:
    with pytest.raises(EvaluationError, match="9 pairs"):
        latencies([Slow("one", 0)], table(3, 3))
