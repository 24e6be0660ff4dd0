"""The demo's pairs: two cycles, dated, with candidates that a retriever found."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from deployments.local import demo_data
from deployments.local.docstrings import Docstring
from flows.contracts.pair import PAIR_SCHEMA

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages and a hundred queries in place of the thousands, whose parsing takes half a minute."""
    monkeypatch.setattr(demo_data, "SCIENCE", ("networkx",))
    monkeypatch.setattr(demo_data, "SERVICES", ("redis",))
    monkeypatch.setattr(demo_data, "FIRST_QUERIES", 80)
    monkeypatch.setattr(demo_data, "CONTINUED_QUERIES", 10)
    monkeypatch.setattr(demo_data, "NEW_QUERIES", 30)


@pytest.mark.usefixtures("small")
def test_the_first_cycle_ends_two_weeks_ago_and_the_second_brings_another_domain() -> None:
    first, second = demo_data.docstring_pairs(1, NOW), demo_data.docstring_pairs(2, NOW)

    assert first.schema == second.schema == PAIR_SCHEMA
    assert set(first["source"].to_pylist()) == {"networkx"}
    assert set(second["source"].to_pylist()) == {"networkx", "redis"}
    assert NOW - timedelta(weeks=12) <= min(dates(first)) <= max(dates(first)) <= NOW - timedelta(weeks=2)
    assert NOW - timedelta(weeks=2) <= min(dates(second)) <= max(dates(second)) <= NOW
    assert queries(first).isdisjoint(queries(second))
    assert (len(queries(first)), len(queries(second))) == (80, 40)


@pytest.mark.usefixtures("small")
def test_every_query_has_its_document_among_as_many_candidates() -> None:
    table = demo_data.docstring_pairs(1, NOW)

    lists: dict[str, list[int]] = {}
    for query, relevance in zip(table["query"].to_pylist(), table["relevance"].to_pylist(), strict=True):
        lists.setdefault(query, []).append(relevance)
    assert all(sum(labels) == 1 and len(labels) == demo_data.CANDIDATES for labels in lists.values())
    assert table.num_rows == len(set(zip(table["query"].to_pylist(), table["document"].to_pylist(), strict=True)))


@pytest.mark.usefixtures("small")
def test_the_same_moment_and_seed_give_the_same_pairs() -> None:
    assert demo_data.docstring_pairs(2, NOW) == demo_data.docstring_pairs(2, NOW)
    assert demo_data.docstring_pairs(1, NOW) != demo_data.docstring_pairs(1, NOW, seed=14)


def test_candidates_are_what_the_retriever_ranks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query whose own document is not found is left out: no reranker could bring it back."""
    sample = [Docstring("a", f"where is number {i}", f"number {i} lies in drawer {i % 7}") for i in range(40)]
    lost = dataclasses.replace(sample[0], query="number five in drawer five", document="nothing of the sort")
    monkeypatch.setattr(demo_data, "read_docstrings", lambda *_: [*sample, lost])

    table = demo_data.docstring_pairs(1, NOW)

    assert lost.query not in queries(table)
    assert queries(table) <= {docstring.query for docstring in sample}


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        demo_data.docstring_pairs(1, datetime(2026, 3, 1))


def dates(table: pa.Table) -> list[datetime]:
    return list(table["created_at"].to_pylist())


def queries(table: pa.Table) -> set[str]:
    return set(table["query"].to_pylist())
