"""Import of CSV, JSONL and Parquet: what is good arrives, what is bad is kept with its reason."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.contracts.pair import PAIR_SCHEMA
from flows.ingest import ColumnMapping, ImportFailed, ImportReport, import_pairs
from flows.store import SqliteLabelStore

Write = Callable[..., Path]


def stored(store: SqliteLabelStore) -> list[dict[str, Any]]:
    rows = pa.Table.from_batches(store.scan(), schema=PAIR_SCHEMA).to_pylist()
    return sorted(rows, key=lambda row: row["query"])


def test_every_ending_gives_the_same_pairs(tmp_path: Path, write: Write) -> None:
    at = "2026-01-31T12:00:00.000001Z"
    rows = [
        {"query": 'say "hi", twice', "document": "one\ntwo", "relevance": 1, "source": "s", "created_at": at},
        {"query": "مرحبا", "document": "🙂", "relevance": 0, "source": "t", "created_at": at},
    ]
    quoted = ['"say ""hi"", twice","one\ntwo",1,s,' + at, "مرحبا,🙂,0,t," + at]
    parquet = tmp_path / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    files = [
        write("pairs.csv", "query,document,relevance,source,created_at\n" + "\n".join(quoted)),
        write("bom.csv", "\ufeffquery,document,relevance,source,created_at\r\n" + "\r\n".join(quoted) + "\r\n\r\n"),
        write(
            "pairs.tsv",
            "query\tdocument\trelevance\tsource\tcreated_at\n"
            + "\n".join(quoted).replace(",", "\t").replace('""\t ', '"", '),
        ),
        write("pairs.jsonl", rows),
        parquet,
    ]
    found = []
    for path in files:
        store = SqliteLabelStore(tmp_path / f"{path.name}.db")
        report = import_pairs(path, store)
        assert (report.read, report.kept, report.quarantined) == (2, 2, 0), store.quarantined()
        found.append(stored(store))
    assert all(each == found[0] for each in found)
    expected = {**rows[0], "created_at": datetime(2026, 1, 31, 12, 0, 0, 1, UTC), "grade": None, "subject_id": None}
    assert found[0][0] == expected


def test_columns_by_other_names(store: SqliteLabelStore, write: Write) -> None:
    path = write("faq.csv", "question,answer,label,stars,person\nq,d,1,2,ada\n")
    mapping = ColumnMapping(
        query="question", document="answer", relevance="label", grade="stars", subject_id="person"
    )
    before = datetime.now(UTC)
    import_pairs(path, store, mapping=mapping)
    (row,) = stored(store)
    assert before <= row.pop("created_at") <= datetime.now(UTC)
    assert row == {"query": "q", "document": "d", "relevance": 1, "source": "faq", "grade": 2, "subject_id": "ada"}


def test_importing_again_merges_and_counts(store: SqliteLabelStore, write: Write) -> None:
    path = write("faq.csv", "query,document,relevance\na,d,1\nb,d,0\nb,d,0\n,d,0\n")
    first, again = import_pairs(path, store), import_pairs(path, store)
    assert (first.read, first.kept, first.merged, first.quarantined) == (4, 2, 1, 1)
    assert (again.read, again.kept, again.merged, again.quarantined) == (4, 0, 3, 1)
    assert store.count_quarantined() == 1
    assert first.render() == f"{path}: 4 rows read\n  2 kept\n  1 merged\n  1 quarantined\n    1 query is empty"


def test_the_source_of_rows_that_name_none(store: SqliteLabelStore, write: Write) -> None:
    path = write("faq.csv", "query,document,relevance,source\na,d,1,\nb,d,1,theirs\n")
    import_pairs(path, store, source="ours")
    assert [row["source"] for row in stored(store)] == ["ours", "theirs"]


GOOD: dict[str, Any] = {"query": "q", "document": "d", "relevance": 1}
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)  # the same in every process that collects the tests

BAD_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"query": None}, "query is missing"),
    ({"document": ""}, "document is empty"),
    ({"query": " \t\n"}, "query is blank"),
    ({"query": 7}, "query is not text"),
    ({"document": ["d"]}, "document is not text"),
    ({"query": "a\0b"}, "query holds a NUL character"),
    ({"document": "\ud83d"}, "document is not valid UTF-8"),
    ({"document": "x" * 1_000_000}, "document is longer than 100,000 characters"),
    ({"relevance": None}, "relevance is missing"),
    ({"relevance": ""}, "relevance is missing"),
    ({"relevance": 2}, "relevance is not 0 or 1"),
    ({"relevance": 0.5}, "relevance is not 0 or 1"),
    ({"relevance": "yes"}, "relevance is not 0 or 1"),
    ({"relevance": [1]}, "relevance is not 0 or 1"),
    ({"grade": 4}, "grade is not 0, 1, 2 or 3"),
    ({"grade": "good"}, "grade is not 0, 1, 2 or 3"),
    ({"grade": True}, "grade is not 0, 1, 2 or 3"),
    ({"created_at": "yesterday"}, "created_at is not a date: use ISO 8601, such as 2026-01-31T12:00:00Z"),
    ({"created_at": 1700000000}, "created_at is not a date: use ISO 8601, such as 2026-01-31T12:00:00Z"),
    (
        {"created_at": "0001-01-01T00:00:00+05:00"},
        "created_at is not a date: use ISO 8601, such as 2026-01-31T12:00:00Z",
    ),
    ({"created_at": FUTURE.isoformat()}, "created_at is in the future"),
    ({"source": "s" * 257}, "source is longer than 256 characters"),
    ({"subject_id": {"id": 1}}, "subject_id is not text"),
]


@pytest.mark.parametrize(("fields", "reason"), BAD_VALUES, ids=lambda value: str(value)[:40])
def test_a_bad_row_is_quarantined_and_the_good_one_beside_it_kept(
    store: SqliteLabelStore, write: Write, fields: dict[str, Any], reason: str
) -> None:
    path = write("pairs.jsonl", [GOOD, {**GOOD, **fields}])
    report = import_pairs(path, store)
    assert (report.kept, report.quarantined, report.reasons) == (1, 1, Counter([reason]))
    (row,) = store.quarantined()
    assert (row.origin, row.position, row.reason) == (str(path), 2, reason)
    assert json.loads(json.loads(row.raw)) == {**GOOD, **fields}  # the line itself, as JSON text


@pytest.mark.parametrize("label", ["1", 1, True, 1.0, "1.0", " 1 ", "true", "TRUE"])
def test_labels_in_every_spelling(store: SqliteLabelStore, write: Write, label: object) -> None:
    opposite = {"1": "0", "1.0": "0.0", " 1 ": " 0 ", "true": "false", "TRUE": "FALSE"}.get(str(label), "0")
    zero = opposite if isinstance(label, str) else type(label)(0)
    rows = [{**GOOD, "query": "a", "relevance": label}, {**GOOD, "query": "b", "relevance": zero}]
    import_pairs(write("pairs.jsonl", rows), store)
    assert [row["relevance"] for row in stored(store)] == [1, 0]


def test_dates_with_and_without_zone_and_a_clock_that_is_a_little_ahead(
    store: SqliteLabelStore, write: Write
) -> None:
    skewed = datetime.now(UTC) + timedelta(minutes=5)
    written = ["2026-01-31 12:00:00", "2026-01-31T12:00:00+02:00", "2026-01-31", skewed.isoformat()]
    import_pairs(
        write("p.jsonl", [{**GOOD, "query": f"{n}", "created_at": at} for n, at in enumerate(written)]), store
    )
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert [row["created_at"] for row in stored(store)] == [
        noon,
        noon - timedelta(hours=2),
        noon - timedelta(hours=12),
        skewed,
    ]


def test_broken_bytes_are_kept_and_can_be_had_back(store: SqliteLabelStore, write: Write) -> None:
    head = b"query,document,relevance\n"
    line = b"caf\xe9 \\xe9,\xff\xfe\x80,1\n"
    import_pairs(write("latin.csv", head + line + "café,d,1\n".encode()), store)
    (row,) = store.quarantined()
    assert row.reason == "query is not valid UTF-8"
    assert ",".join(json.loads(row.raw).values()).encode("utf-8", "surrogateescape") == line.strip()

    whole = b'{"query": "caf\xe9", "document": "d", "relevance": 1}'
    import_pairs(write("latin.jsonl", whole + b"\n"), store)
    assert json.loads(store.quarantined(1)[0].raw).encode("utf-8", "surrogateescape") == whole


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,b", "the row has more or fewer cells than the header"),
        ("a,b,1,4", "the row has more or fewer cells than the header"),
        ('a,"b"c,1', "quotes are not closed, or not doubled inside quotes"),
        ("a,b\0,1", "document holds a NUL character"),
    ],
)
def test_csv_rows_that_do_not_fit(store: SqliteLabelStore, write: Write, line: str, reason: str) -> None:
    path = write("pairs.csv", f"query,document,relevance\nx,y,1\n\n{line}\nz,y,0\n")
    report = import_pairs(path, store)
    assert (report.read, report.kept, report.reasons) == (3, 2, Counter([reason]))
    assert store.quarantined()[0].position == 4


def test_a_quote_that_is_never_closed_keeps_every_line_it_swallowed(store: SqliteLabelStore, write: Write) -> None:
    rest = 'a,"b,1\n' + "c,d,1\n" * 50
    report = import_pairs(write("pairs.csv", "query,document,relevance\nx,y,1\n" + rest), store)
    assert (report.kept, report.quarantined) == (1, 1)
    assert json.loads(store.quarantined()[0].raw) == rest


@pytest.mark.parametrize("line", ["{", "", "[" * 100_000, '{"query": ' + "9" * 5_000 + "}", "\0"])
def test_json_lines_that_do_not_parse(store: SqliteLabelStore, write: Write, line: str) -> None:
    good = json.dumps(GOOD)
    report = import_pairs(write("pairs.jsonl", f"{good}\n{line}\n{good}\n"), store)
    assert report.kept == report.merged == 1
    assert report.reasons == (Counter(["the line is not JSON"]) if line else Counter())


@pytest.mark.parametrize("line", ["[]", '"query"', "null", "7"])
def test_json_lines_that_are_no_objects(store: SqliteLabelStore, write: Write, line: str) -> None:
    report = import_pairs(write("pairs.jsonl", f"{line}\n{json.dumps(GOOD)}\n"), store)
    assert (report.kept, report.reasons) == (1, Counter(["the line is not a JSON object"]))


def test_a_line_that_never_ends_is_bounded(
    store: SqliteLabelStore, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.ingest.lines.MAX_LINE_BYTES", 1_000)
    report = import_pairs(write("pairs.jsonl", f"{json.dumps(GOOD)}\n" + "x" * 4_500), store)
    assert (report.kept, report.quarantined) == (1, 5)
    assert sum(len(json.loads(row.raw)) for row in store.quarantined()) == 4_500


def test_a_field_that_comes_late_is_not_missed(store: SqliteLabelStore, write: Write) -> None:
    rows = [{**GOOD, "query": f"{n}"} for n in range(1_500)]
    import_pairs(write("pairs.jsonl", [*rows, {**GOOD, "query": "late", "grade": 3}]), store)
    assert stored(store)[-1]["grade"] == 3


def test_parquet_of_other_types(store: SqliteLabelStore, tmp_path: Path) -> None:
    table = pa.table(
        {
            "query": pa.array(["a", "b", "c"]).dictionary_encode(),
            "document": pa.array([b"d", b"caf\xe9", b"d"], pa.binary()),
            "relevance": pa.array([True, False, None]),
            "grade": pa.array([2.0, None, float("nan")]),
            "created_at": pa.array([date(2026, 1, 31)] * 3, pa.date32()),
            "extra": pa.array([[1], [2], [3]]),
        }
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    report = import_pairs(tmp_path / "pairs.parquet", store)
    assert report.reasons == Counter(["document is not valid UTF-8", "relevance is missing"])
    (row,) = stored(store)
    assert (row["query"], row["grade"], row["created_at"]) == ("a", 2, datetime(2026, 1, 31, tzinfo=UTC))
    assert [bad.position for bad in store.quarantined()] == [2, 3]


def test_parquet_with_broken_text_and_dates_nobody_can_read(store: SqliteLabelStore, tmp_path: Path) -> None:
    table = pa.table(
        {
            "query": pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string()),
            "document": ["d", "d", "d"],
            "relevance": [1, 1, 1],
            "created_at": pa.array([0, 0, 2**60], pa.timestamp("us", "Europe/Berlin")),
        }
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    report = import_pairs(tmp_path / "pairs.parquet", store)
    assert report.kept == 1
    assert sorted(reason[:24] for reason in report.reasons) == [
        "created_at is not a date",
        "query is not valid UTF-8",
    ]
    assert stored(store)[0]["created_at"] == datetime(1970, 1, 1, tzinfo=UTC)
    raw = json.loads(store.quarantined()[1].raw)
    assert str(2**60) in raw["created_at"]


WHOLE_FILES: list[tuple[str, bytes, str]] = [
    (
        "p.csv",
        b"question,answer,relevance\na,b,1\n",
        r"no column 'query', 'document'.*'question', 'answer'.*--column query=NAME",
    ),
    ("p.csv", b"query;document;relevance\na;b;1\n", r"Its columns: 'query;document;relevance'"),
    ("p.csv", b"", "is empty"),
    ("p.csv", b"query,document,relevance\n", "has no rows"),
    ("p.csv", b"query,query,document,relevance\na,b,c,1\n", "several columns named 'query'"),
    ("p.csv", b"\xff\xfeq\0u\0", "UTF-16"),
    ("p.csv", b"\x80\x81\x82\n1,2\n", "saved as UTF-8"),
    ("p.jsonl", b"", "has no rows"),
    ("p.jsonl", b"\n \n", "has no rows"),
    ("p.jsonl", b'{"question": "a"}\n', r"no column 'query', 'document', 'relevance'. Its columns: 'question'"),
    ("p.parquet", b"query,document,relevance\n", "cannot be read as Parquet"),
    ("p.parquet", b"", "cannot be read as Parquet"),
    ("p.xlsx", b"PK", r"ends in \.xlsx: known are \.csv"),
    ("p", b"", "ends in nothing"),
]


@pytest.mark.parametrize(("name", "content", "said"), WHOLE_FILES)
def test_what_is_wrong_with_a_whole_file_says_what_to_do(
    store: SqliteLabelStore, write: Write, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(ImportFailed, match=said):
        import_pairs(write(name, content), store)
    assert store.count() == store.count_quarantined() == 0


def test_more_that_is_wrong_as_a_whole(store: SqliteLabelStore, write: Write, tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="there is no file"):
        import_pairs(tmp_path / "none.csv", store)
    with pytest.raises(ImportFailed, match=r"without corpus\.jsonl"):
        import_pairs(tmp_path, store)
    good = write("p.csv", "query,document,relevance\na,b,1\n")
    with pytest.raises(ImportFailed, match="no column 'stars'"):
        import_pairs(good, store, mapping=ColumnMapping(grade="stars"))
    with pytest.raises(ImportFailed, match="the source must have"):
        import_pairs(good, store, source=" ")
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.table({"query": pa.array([], pa.string()), "document": [], "relevance": []}), empty)
    with pytest.raises(ImportFailed, match="has no rows"):
        import_pairs(empty, store)
    pq.write_table(pa.table({"query": ["a"]}), empty)
    with pytest.raises(ImportFailed, match="has no column 'document', 'relevance'"):
        import_pairs(empty, store)
    assert store.count() == store.count_quarantined() == 0


def test_parquet_that_breaks_off_says_how_far_it_came(store: SqliteLabelStore, tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    rows = [{**GOOD, "query": f"{n}"} for n in range(12_000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=6_000, compression="none", use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    damaged[start : start + 64] = b"\xff" * 64
    path.write_bytes(damaged)
    with pytest.raises(ImportFailed, match=r"after row 6,\d{3}|after row 5,\d{3}"):
        import_pairs(path, store)
    assert 0 < store.count() <= 6_000


def test_progress_tells_counts_that_add_up(
    store: SqliteLabelStore, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.ingest.importing._BATCH_ROWS", 40)
    told: list[int] = []

    def progress(report: ImportReport) -> None:
        report.check()
        told.append(report.read)

    import_pairs(write("p.jsonl", [{**GOOD, "query": f"{n}"} for n in range(100)]), store, progress=progress)
    assert told == [40, 80, 100]


cells = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from([*PAIR_SCHEMA.names, "other"]), cells) | cells, min_size=1, max_size=12
    )
)
def test_whatever_the_values_every_row_is_accounted_for(tmp_path: Path, rows: list[Any]) -> None:
    (tmp_path / "any.db").unlink(missing_ok=True)
    store = SqliteLabelStore(tmp_path / "any.db")
    path = tmp_path / "any.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [dict.fromkeys(PAIR_SCHEMA.names), *rows]))
    report = import_pairs(path, store)
    assert report.read == len(rows) + 1 == report.kept + report.merged + report.quarantined
    assert store.count() == report.kept
    assert store.count_quarantined() == report.quarantined


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text('abc",\n\r;1 ', max_size=60).map(str.encode))
def test_whatever_the_bytes_no_line_of_a_csv_is_lost(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "any.db").unlink(missing_ok=True)
    store = SqliteLabelStore(tmp_path / "any.db")
    path = tmp_path / "any.csv"
    path.write_bytes(b"query,document,relevance\nfirst,d,1\n" + content)
    report = import_pairs(path, store)
    assert report.read == report.kept + report.merged + report.quarantined
    assert store.count() + store.count_quarantined() == report.read - report.merged
