from functools import partial
from pathlib import Path

import pytest

import flows
from flows.gate import GateError, Lists, Model, measure_costs, usual_lists
from tests.flows.gate.scorers import Slow, broken, write

LISTS = Lists(["a", "b", "c", "d"], [["x", "y"]] * 4)


def test_latency_memory_and_size_are_measured_side_by_side(tmp_path):
    small, large = write(tmp_path / "small", 1_000), write(tmp_path / "large", 3_000)
    found = measure_costs(
        {"small": Model(partial(Slow, 0.002), small), "large": Model(partial(Slow, 0.008, 100), large)},
        LISTS,
        rounds=3,
    )
    assert (found["small"].artifact_bytes, found["large"].artifact_bytes) == (2_000, 6_000)
    assert found["small"].latency_ms >= 2
    assert found["large"].latency_ms >= 8
    assert found["large"].latency_ms > found["small"].latency_ms
    assert 90e6 < found["large"].memory_bytes - found["small"].memory_bytes < 130e6


def test_a_flows_own_path_hides_no_library(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(flows.__file__).parent))  # as Prefect does
    assert measure_costs({"one": Model(partial(Slow, 0.0), write(tmp_path / "one", 1))}, LISTS, rounds=1)


def test_a_model_that_cannot_be_opened_says_so(tmp_path):
    with pytest.raises(GateError, match="cannot be opened"):
        measure_costs({"broken": Model(broken, tmp_path)}, LISTS)


def test_nothing_to_score_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no lists"):
        measure_costs({"one": Model(partial(Slow, 0.0), tmp_path)}, usual_lists([], []))


def test_usual_lists_have_the_median_size_and_run_from_short_to_long_texts():
    queries = [q for q, size in (("a", 1), ("bb", 3), ("ccc", 3), ("dddd", 5)) for _ in range(size)]
    lists = usual_lists(queries, ["text"] * len(queries), count=2)
    assert list(lists.queries) == ["bb", "dddd"]
    assert [len(candidates) for candidates in lists.documents] == [3, 3]
    assert len(usual_lists(queries, ["text"] * len(queries)).queries) == 3
