"""What every store must do; each test runs against each of them."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import repeat
from operator import itemgetter

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.contracts.pair import PAIR_SCHEMA
from flows.store import AppendCounts, ContractError, LabelStore, QuarantinedRow
from tests.flows.store.conftest import Place
from tests.flows.store.pairs import START, batch, many, pair, stored, write

examples = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40) | st.sampled_from(
    [
        'it\'s "quoted", and\\slashed',
        "$body;--",
        "مرحبا بالعالم",
        "👩‍👩‍👧‍👦 emoji",
        "line\r\nend\t",
        "\u202eright to left",
        "\ufeffmark",
        "%_?:name",
    ]
)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
pairs = st.fixed_dictionaries(
    {
        "query": texts,
        "document": texts,
        "relevance": st.integers(0, 1),
        "source": texts,
        "created_at": times,
        "grade": st.none() | st.integers(0, 3),
        "subject_id": st.none() | texts,
    }
)


def test_an_empty_store_says_so(store: LabelStore) -> None:
    assert store.count() == 0
    assert store.latest() is None
    assert list(store.scan()) == []
    assert store.quarantined() == []
    assert store.count_quarantined() == 0
    assert store.append(batch()) == AppendCounts(0, 0)


def test_appending_again_merges(store: LabelStore) -> None:
    assert store.append(many(range(120))) == AppendCounts(kept=120, merged=0)
    assert store.append(many(range(100, 180))) == AppendCounts(kept=60, merged=20)
    assert store.count() == 180


def test_a_table_of_several_chunks_is_appended_whole(store: LabelStore) -> None:
    table = pa.Table.from_batches([many(range(70)), many(range(60, 130))])
    assert store.append(table) == AppendCounts(kept=130, merged=10)


def test_another_label_or_source_is_another_row(store: LabelStore) -> None:
    rows = [pair(), pair(relevance=0), pair(source="t"), pair(query="q "), pair(document="D")]
    assert store.append(batch(*rows)) == AppendCounts(kept=5, merged=0)


def test_texts_are_not_mixed_up_when_they_share_a_border(store: LabelStore) -> None:
    assert store.append(batch(pair(query="ab", document="c"), pair(query="a", document="bc"))).kept == 2


def test_the_newest_row_wins_and_keeps_whose_text_it_is(store: LabelStore) -> None:
    day = timedelta(days=1)
    store.append(batch(pair(grade=3, subject_id="ada")))
    store.append(batch(pair(created_at=START + day, grade=1)))
    store.append(batch(pair(created_at=START - day, grade=2)))
    assert stored(store) == [pair(created_at=START + day, grade=1, subject_id="ada")]


@examples
@given(data=st.data())
def test_the_order_of_arrival_cannot_be_seen(place: Place, data: st.DataObject) -> None:
    moments = st.integers(0, 2).map(lambda n: START + timedelta(microseconds=n))
    row = st.builds(
        pair,
        query=st.sampled_from("ab"),
        created_at=moments,
        grade=st.sampled_from([None, 0, 3]),
        subject_id=st.sampled_from([None, "x", "é", "Z", "🙂"]),
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))

    place.clear()
    with place.open() as store:
        counts = store.append(batch(*rows))
        once = stored(store)
        assert counts == AppendCounts(len(once), len(rows) - len(once))
    place.clear()
    with place.open() as store:
        for part in (shuffled[:cut], shuffled[cut:], shuffled[:cut]):
            store.append(batch(*part))
        assert stored(store) == once


@examples
@given(rows=st.lists(pairs, min_size=1, max_size=8, unique_by=lambda row: (row["query"], row["document"])))
def test_what_is_stored_comes_back(place: Place, rows: list[dict[str, object]]) -> None:
    place.clear()
    with place.open() as store:
        assert store.append(batch(*rows)).kept == len(rows)
        assert stored(store) == sorted(rows, key=itemgetter("query", "document"))
        assert store.latest() == max(row["created_at"] for row in rows)


@examples
@given(rows=st.lists(st.builds(QuarantinedRow, texts, st.integers(1, 2**40), texts, texts), max_size=5, unique=True))
def test_quarantined_rows_come_back(place: Place, rows: list[QuarantinedRow]) -> None:
    place.clear()
    with place.open() as store:
        store.quarantine(rows)
        assert sorted(map(repr, store.quarantined())) == sorted(map(repr, rows))
        store.quarantine(rows)
        assert store.count_quarantined() == len(rows)


def test_the_last_quarantined_rows_come_first(store: LabelStore) -> None:
    rows = [QuarantinedRow("pairs.csv", line, "query is missing", "{}") for line in range(1, 130)]
    store.quarantine(rows)
    later = QuarantinedRow("a.csv", 7, "query is blank", r'{"query": "\udcff"}')
    store.quarantine([later])
    assert store.quarantined(limit=3) == [later, *rows[:2]]
    assert store.count_quarantined() == 130


def test_the_order_of_a_scan_is_that_of_arrival_and_merging_does_not_change_it(store: LabelStore) -> None:
    for numbers in (range(60, 130), range(60), range(40, 80)):
        store.append(many(numbers))
    queries = [query for part in store.scan() for query in part["query"].to_pylist()]
    assert queries == [f"query {n}" for n in (*range(60, 130), *range(60))]


@pytest.mark.parametrize("size", [1, 7, 40, 1_000])
def test_batches_are_bounded_and_complete(store: LabelStore, size: int) -> None:
    store.append(many(range(40)))
    batches = list(store.scan(batch_size=size))
    assert all(0 < part.num_rows <= size and part.schema == PAIR_SCHEMA for part in batches)
    queries = [query for part in batches for query in part["query"].to_pylist()]
    assert sorted(queries) == sorted(f"query {n}" for n in range(40))


def test_a_window_holds_its_first_moment_and_not_its_last(store: LabelStore) -> None:
    tick = timedelta(microseconds=1)
    rows = [pair(query=f"{n}", created_at=START + n * tick) for n in range(4)]
    store.append(batch(*rows))
    assert stored(store, since=START + tick, until=START + 3 * tick) == rows[1:3]
    elsewhere = timezone(timedelta(hours=-5))
    assert len(stored(store, since=(START + 2 * tick).astimezone(elsewhere))) == 2
    assert len(stored(store, until=START + tick)) == 1


def test_a_window_without_a_zone_is_refused(store: LabelStore) -> None:
    with pytest.raises(ValueError, match="time zone"):
        store.scan(since=datetime(2026, 1, 1))


def test_a_scan_is_stable_while_others_write(place: Place) -> None:
    with place.open() as store, place.open() as other:
        store.append(many(range(60)))
        scan = store.scan(batch_size=10)
        seen = next(scan)["query"].to_pylist()
        other.append(many(range(40, 100)))
        newer = [pair(query=f"query {n}", created_at=datetime(2026, 12, 1, tzinfo=UTC)) for n in range(60)]
        other.append(batch(*newer))
        seen += [query for part in scan for query in part["query"].to_pylist()]
        assert len(seen) == len(set(seen))
        assert {f"query {n}" for n in range(60)} <= set(seen)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"query": "a\0b"}, "query holds NUL"),
        ({"document": ""}, "document is empty"),
        ({"relevance": 2}, "relevance is not 0 or 1"),
        ({"grade": 4}, "grade is not 0 to 3"),
        ({"grade": -1}, "grade is not 0 to 3"),
        ({"source": "s" * 257}, "source is longer than 256 characters"),
        ({"subject_id": ""}, "subject_id is empty"),
        ({"created_at": 2**60}, "created_at is outside the years"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_with_its_batch(
    store: LabelStore, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(ContractError, match=f"{said}.*row 1"):
        store.append(batch(pair(query="good"), pair(**fields)))
    assert store.count() == 0


def test_a_missing_value_a_missing_column_and_broken_text_are_refused(store: LabelStore) -> None:
    good = batch(pair())
    with pytest.raises(ContractError, match="'query' with null values"):
        store.append(good.set_column(0, "query", pa.array([None], pa.string())))
    with pytest.raises(ContractError, match="lack the columns source"):
        store.append(good.drop_columns(["source"]))
    with pytest.raises(ContractError, match="do not fit"):
        store.append(good.set_column(0, "query", pa.array([b"\xff"]).cast(pa.string(), safe=False)))
    assert store.count() == 0


def test_several_processes_write_at_once(place: Place) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        counts = list(pool.map(write, repeat(place.settings), repeat(place.path), (0, 0, 100)))
    with place.open() as store:
        assert store.count() == sum(each.kept for each in counts) == 320
        assert sum(each.merged for each in counts) == 3 * 10 * 40 - 320
        assert store.count_quarantined() == 59
        assert len(stored(store)) == 320
