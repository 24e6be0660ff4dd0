"""Each expectation on a snapshot, met and not met."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import snapshot as suites
from flows.contracts.pair import text_id
from flows.contracts.snapshot import SNAPSHOT_SCHEMA, Snapshot
from flows.snapshot import freeze
from flows.validation import validate_snapshot


@pytest.fixture
def frozen(rows, make_table, cleaning, now, tmp_path):
    return freeze(make_table(rows).to_batches(), cleaning, tmp_path / "snapshots", {}, now).snapshot


@pytest.fixture
def rewrite(frozen, tmp_path):
    """Give a snapshot of altered rows, as a defect of splitting or a meddling hand would leave it."""

    def rewrite(rows):
        folder = tmp_path / "altered"
        folder.mkdir()
        (folder / "manifest.json").write_text(frozen.manifest.model_dump_json(), "utf-8")
        pq.write_table(pa.Table.from_pylist(rows, schema=SNAPSHOT_SCHEMA), folder / "pairs.parquet")
        return Snapshot(folder)

    return rewrite


def newest(rows, split):
    return max((row for row in rows if row["split"] == split), key=lambda row: (row["created_at"], row["query"]))[
        "query"
    ]


def oldest(rows, split):
    return min((row for row in rows if row["split"] == split), key=lambda row: (row["created_at"], row["query"]))[
        "query"
    ]


def change(side, which=newest, /, **values):
    """Alter every row of one query."""

    def alter(rows):
        query = which(rows, side)
        return [row | values if row["query"] == query else row for row in rows]

    return alter


def leak(rows):
    """Move a positive and a negative of the newest training query to the validation side."""
    query = newest(rows, "train")
    labels = {0, 1}

    def moves(row):
        if row["query"] != query or row["relevance"] not in labels:
            return False
        labels.remove(row["relevance"])
        return True

    return [row | {"split": "validation"} if moves(row) else row for row in rows]


def leak_in_another_spelling(rows):
    text = newest(rows, "train").upper().replace(" ", "  ")
    return change("test", query=text, query_id=text_id(text))(rows)


IN_SET, BETWEEN = "expect_column_values_to_be_in_set", "expect_column_values_to_be_between"
UNIQUE = "expect_column_values_to_be_unique"
CASES = {
    "an unknown side": ("snapshot-pairs", IN_SET, change("train", split="elsewhere"), {}),
    "a wrong label": ("snapshot-pairs", IN_SET, lambda rows: [rows[0] | {"relevance": 2}, *rows[1:]], {}),
    "a wrong id": (
        "snapshot-pairs",
        "expect_column_pair_values_to_be_equal",
        change("train", query_id="0123456789abcdef"),
        {},
    ),
    "a repeated pair": (
        "snapshot-pairs",
        "expect_compound_columns_to_be_unique",
        lambda rows: [*rows, rows[0]],
        {},
    ),
    "few queries": (
        "snapshot-queries",
        "expect_table_row_count_to_be_between",
        lambda rows: rows,
        {"min_queries": 61},
    ),
    "a query on two sides": ("snapshot-queries", UNIQUE, leak, {}),
    "a query on two sides in another spelling": ("snapshot-queries", UNIQUE, leak_in_another_spelling, {}),
    "a test query without a positive": ("snapshot-queries", IN_SET, change("test", relevance=0), {}),
    "a test query without a negative": ("snapshot-queries", IN_SET, change("test", relevance=1), {}),
    "an empty side": (
        "snapshot-sides",
        BETWEEN,
        lambda rows: [row for row in rows if row["split"] != "validation"],
        {},
    ),
    "an old query on the test side": (
        "snapshot-sides",
        "expect_column_pair_values_a_to_be_greater_than_b",
        lambda rows: change("test", oldest, created_at=min(r["created_at"] for r in rows) - timedelta(days=1))(rows),
        {},
    ),
    "a small test side": ("snapshot-sides", BETWEEN, lambda rows: rows, {"min_test_queries": 10}),
}
WARNINGS = {"a small test side"}


def test_a_good_snapshot_meets_every_expectation(frozen, settings, now, tmp_path):
    report = validate_snapshot(frozen, settings, tmp_path / "reports", now)
    assert (report.failures, report.warnings, report.checked) == ((), (), 10)
    assert frozen.digest[:12] in report.to_markdown()
    assert report.data_docs.is_file()


@pytest.mark.parametrize("name", CASES)
def test_one_flaw_fails_exactly_one_expectation(name, frozen, rewrite, settings, now, tmp_path):
    suite, expectation, alter, limits = CASES[name]
    snapshot = rewrite(alter(frozen.table().to_pylist()))
    report = validate_snapshot(snapshot, settings.model_copy(update=limits), tmp_path / "reports", now)
    findings = report.failures + report.warnings
    assert [(finding.suite, finding.expectation) for finding in findings] == [(suite, expectation)]
    assert report.passed == (name in WARNINGS)


def test_every_expectation_has_a_case(settings):
    written = [
        (suite.name, expectation.expectation_type)
        for suite in (suites.pairs(), suites.queries(settings), suites.sides(settings))
        for expectation in suite.expectations
    ]
    assert {case[:2] for case in CASES.values()} == set(written)


def test_a_leak_is_shown_with_the_query(frozen, rewrite, settings, now, tmp_path):
    rows = frozen.table().to_pylist()
    report = validate_snapshot(rewrite(leak(rows)), settings, tmp_path / "reports", now)
    assert {"train", "validation"} == {e.split('"split": "')[1].split('"')[0] for e in report.failures[0].examples}
    assert all(newest(rows, "train") in example for example in report.failures[0].examples)


def test_a_snapshot_made_without_a_validation_side_passes(rows, make_table, cleaning, settings, now, tmp_path):
    without = cleaning.model_copy(update={"validation_share": 0.0})
    snapshot = freeze(make_table(rows).to_batches(), without, tmp_path / "snapshots", {}, now).snapshot
    assert validate_snapshot(snapshot, settings, tmp_path / "reports", now).passed


def test_a_snapshot_of_little_negatives_passes(rows, make_table, cleaning, settings, now, tmp_path):
    """Undersampling may take every negative of a training query; only measuring needs one."""
    few = cleaning.model_copy(update={"positive_share": 0.9})
    snapshot = freeze(make_table(rows).to_batches(), few, tmp_path / "snapshots", {}, now).snapshot
    assert validate_snapshot(snapshot, settings, tmp_path / "reports", now).passed
