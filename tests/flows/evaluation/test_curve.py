"""The curve of quality against latency: which points stand on it, what is kept, what is drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluation import evaluate
from flows.evaluation.curve import Curve, Point, interval


def point(name: str, ndcg: float, latency_ms: float, size: int | None = None) -> Point:
    return Point(name=name, ndcg=ndcg, low=ndcg - 0.02, high=ndcg + 0.02, latency_ms=latency_ms, bytes=size)


def curve(*points: Point) -> Curve:
    return Curve(snapshot="5" * 64, queries=127, measured="torch on one thread", points=points)


TEACHER = point("teacher (6 layers)", 0.867, 42.0, 90_900_000)
STUDENT = point("student (3 layers)", 0.861, 22.0, 69_600_000)
SLOW = point("bi-encoder", 0.839, 30.0, 90_900_000)
BM25 = point("bm25", 0.771, 0.4)


def test_the_frontier_holds_what_no_other_beats_on_both() -> None:
    assert curve(TEACHER, SLOW, STUDENT, BM25).frontier == (BM25, STUDENT, TEACHER)


numbers = st.floats(0.1, 1)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_every_point_off_the_frontier_is_beaten_and_none_on_it_is(values: list[tuple[float, float]]) -> None:
    points = [point(str(i), ndcg, latency) for i, (ndcg, latency) in enumerate(values)]
    frontier = curve(*points).frontier
    for one in points:
        beaten = any(
            other.ndcg >= one.ndcg
            and other.latency_ms <= one.latency_ms
            and (other.ndcg, other.latency_ms) != (one.ndcg, one.latency_ms)
            for other in points
        )
        twin_on_it = any((on.ndcg, on.latency_ms) == (one.ndcg, one.latency_ms) for on in frontier)
        assert twin_on_it != beaten


def test_the_curve_is_kept_as_numbers_and_drawn(tmp_path: Path) -> None:
    drawn = curve(TEACHER, SLOW, STUDENT, BM25)
    numbers, picture = drawn.write(tmp_path / "curve")

    assert Curve.model_validate_json(numbers.read_text("utf-8")) == drawn
    assert picture.read_bytes().startswith(b"\x89PNG")
    other = curve(TEACHER, SLOW, BM25).write(tmp_path / "other")[1]
    assert other.read_bytes() != picture.read_bytes()


def test_a_single_ranker_is_drawn_too(tmp_path: Path) -> None:
    assert curve(BM25).write(tmp_path)[1].stat().st_size > 10_000


def test_the_table_shows_the_fastest_first_and_the_frontier_in_bold() -> None:
    rows = curve(TEACHER, SLOW, STUDENT, BM25).table().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| **bm25**",
        "| **student (3 layers)**",
        "| bi-encoder",
        "| **teacher (6 layers)**",
    ]
    assert rows[1].endswith("| 0.8610 | 0.8410 to 0.8810 | 22.00 | 69.6 |")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_interval_covers_the_mean_and_narrows_with_queries(seed: int) -> None:
    random = np.random.default_rng(seed)
    few, many = (pd.DataFrame({"ndcg@10": random.random(n)}) for n in (30, 3_000))
    widths = []
    for per_query in (few, many):
        low, high = interval(per_query)
        assert low <= per_query["ndcg@10"].mean() <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_a_ranker_that_was_judged_becomes_a_point() -> None:
    table = pa.Table.from_pylist(
        [
            {
                "query_id": f"q{q}",
                "document_id": f"d{d}",
                "relevance": int(d == 0),
                "grade": None,
                "query": "",
                "document": "x" * d,
            }
            for q in range(4)
            for d in range(3)
        ]
    )

    class Longest:
        name = "longest"

        def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
            return np.array([len(document) for document in documents], np.float32)

    third = 1 / np.log2(4)  # the relevant one is the shortest
    point = Point.of(evaluate(table, Longest()), 1.5, 5)
    assert (point.name, point.latency_ms, point.bytes) == ("longest", 1.5, 5)
    assert point.ndcg == pytest.approx(third)
    assert point.low == pytest.approx(third) == point.high


def test_a_mean_that_is_no_number_is_no_point() -> None:
    with pytest.raises(ValueError, match="finite"):
        point("broken", float("nan"), 1.0)
