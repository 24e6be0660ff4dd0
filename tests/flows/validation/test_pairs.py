"""Each expectation on the labelled pairs, met and not met."""

import re
from datetime import timedelta

import pyarrow as pa
import pytest

from expectations import labelled_pairs
from flows.contracts.pair import PAIR_SCHEMA
from flows.validation import ValidationReport, validate_pairs


@pytest.fixture
def check(make_table, settings, cleaning, now, tmp_path):
    def check(rows, **limits):
        table = rows if isinstance(rows, pa.Table) else make_table(rows)
        return validate_pairs(table, settings.model_copy(update=limits), cleaning, tmp_path, now)

    return check


def altered(rows, index, **change):
    return [*rows[:index], rows[index] | change, *rows[index + 1 :]]


def one(**change):
    """Alter one negative of the newest query."""
    return lambda rows, now: altered(
        rows, len(rows) - 1, **{k: v(now) if callable(v) else v for k, v in change.items()}
    )


def of_each(queries, change):
    """Alter the rows of the first `queries` queries; None from `change` drops the row."""

    def alter(rows, now):
        changed = [change(row, number % 6) if number // 6 < queries else row for number, row in enumerate(rows)]
        return [row for row in changed if row is not None]

    return alter


def repeat(number):
    return lambda rows, now: [*rows, *(row | {"query": row["query"].upper()} for row in rows[:number])]


def contradict(number):
    return lambda rows, now: [*rows, *(row | {"relevance": 1 - row["relevance"]} for row in rows[::-6][:number])]


def unchanged(rows, now):
    return rows


NOT_NULL, IN_SET, BETWEEN = (
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_between",
)
ROWS, MEAN = "expect_table_row_count_to_be_between", "expect_column_mean_to_be_between"
CASES = {
    "few pairs": ("critical", "labelled-pairs", ROWS, None, unchanged, {"min_pairs": 361}),
    "few queries": ("critical", "labelled-queries", ROWS, None, unchanged, {"min_queries": 61}),
    "no query": ("critical", "labelled-pairs", NOT_NULL, "query", one(query=None), {}),
    "no document": ("critical", "labelled-pairs", NOT_NULL, "document", one(document=None), {}),
    "no relevance": ("critical", "labelled-pairs", NOT_NULL, "relevance", one(relevance=None), {}),
    "no source": ("critical", "labelled-pairs", NOT_NULL, "source", one(source=None), {}),
    "no date": ("critical", "labelled-pairs", NOT_NULL, "created_at", one(created_at=None), {}),
    "label 2": ("critical", "labelled-pairs", IN_SET, "relevance", one(relevance=2), {}),
    "label -1": ("critical", "labelled-pairs", IN_SET, "relevance", one(relevance=-1), {}),
    "grade 4": ("critical", "labelled-pairs", IN_SET, "grade", one(grade=4), {}),
    "few positives": ("critical", "labelled-pairs", MEAN, "relevance", unchanged, {"positive_share_from": 0.4}),
    "many positives": ("critical", "labelled-pairs", MEAN, "relevance", unchanged, {"positive_share_to": 0.3}),
    "blank query": ("warning", "labelled-pairs", IN_SET, "query_is_blank", one(query=" \u3000\n"), {}),
    "blank document": ("warning", "labelled-pairs", IN_SET, "document_is_blank", one(document="\t"), {}),
    "long query": ("warning", "labelled-pairs", BETWEEN, "query_characters", one(query="ä" * 101), {}),
    "long document": ("warning", "labelled-pairs", BETWEEN, "document_characters", one(document="x" * 1_000_000), {}),
    "repeats": ("warning", "labelled-pairs", IN_SET, "is_repeated", repeat(20), {}),
    "conflicts": ("warning", "labelled-pairs", IN_SET, "is_contradicted", contradict(5), {}),
    "old": (
        "warning",
        "labelled-pairs",
        "expect_column_min_to_be_between",
        "age_days",
        of_each(60, lambda row, _: row | {"created_at": row["created_at"] - timedelta(days=31)}),
        {},
    ),
    "future": (
        "warning",
        "labelled-pairs",
        IN_SET,
        "is_in_future",
        one(created_at=lambda now: now + timedelta(hours=1)),
        {},
    ),
    "thin queries": (
        "warning",
        "labelled-queries",
        BETWEEN,
        "candidates",
        of_each(15, lambda row, candidate: row if candidate == 0 else None),
        {},
    ),
    "unrankable queries": (
        "warning",
        "labelled-queries",
        IN_SET,
        "rankable",
        of_each(20, lambda row, _: row | {"relevance": 0}),
        {},
    ),
}


def test_good_pairs_meet_every_expectation(check, rows):
    report = check(rows)
    assert report.passed
    assert (report.failures, report.warnings) == ((), ())
    assert report.checked == 22


@pytest.mark.parametrize("name", CASES)
def test_one_flaw_fails_exactly_one_expectation(name, check, rows, now):
    severity, suite, expectation, column, alter, limits = CASES[name]
    report = check(alter(rows, now), **limits)
    findings = report.failures + report.warnings
    assert [(f.severity, f.suite, f.expectation) for f in findings] == [(severity, suite, expectation)]
    assert findings[0].columns == (() if column is None else (column,))
    assert report.passed == (severity == "warning")
    assert findings[0].description in report.to_markdown()


def test_every_expectation_has_a_case(settings, cleaning):
    """An expectation that nothing can break would be no check."""
    suites = [labelled_pairs.pairs(settings, cleaning), labelled_pairs.queries(settings, cleaning)]
    written = {
        (e.severity.value, suite.name, e.expectation_type, getattr(e, "column", None))
        for suite in suites
        for e in suite.expectations
    }
    assert {case[:4] for case in CASES.values()} == written


def test_a_few_flaws_are_tolerated_where_a_share_is_allowed(check, rows, now):
    tolerated = contradict(3)(repeat(10)(rows, now), now)
    thin = [row for number, row in enumerate(tolerated) if number >= 60 or number % 6 == 0]
    report = check(thin)
    assert report.warnings == ()
    assert report.passed


@pytest.mark.parametrize("column", ["query", "created_at", "grade"])
def test_a_missing_column_is_a_failed_report(column, check, rows, make_table):
    report = check(make_table(rows).drop_columns(column))
    assert [finding.expectation for finding in report.failures] == [NOT_NULL]
    assert column in report.failures[0].examples[0]


@pytest.mark.parametrize("column", ["query", "relevance", "created_at"])
def test_a_column_of_another_type_is_a_failed_report(column, check, rows, make_table):
    index = PAIR_SCHEMA.get_field_index(column)
    report = check(make_table(rows).set_column(index, column, pa.array([[1]] * len(rows))))
    assert [finding.expectation for finding in report.failures] == ["expect_column_pair_values_to_be_equal"]
    assert "list<" in report.failures[0].examples[0]


@pytest.mark.parametrize("column", ["query", "document", "relevance", "source", "created_at"])
def test_a_column_of_nulls_is_a_failed_report(column, check, rows):
    report = check([row | {column: None} for row in rows])
    assert not report.passed
    assert f"Every pair has a {column}" in [finding.description for finding in report.failures]
    assert not any("could not be evaluated" in f.observed for f in report.failures + report.warnings)


@pytest.mark.parametrize("table", [PAIR_SCHEMA.empty_table(), pa.table({}), pa.table({"x": [1]})])
def test_an_empty_or_alien_table_is_a_failed_report(check, table):
    report = check(table)
    assert not report.passed
    assert not any("could not be evaluated" in f.observed for f in report.failures + report.warnings)
    assert report.data_docs.is_file()


def test_the_report_gives_numbers_and_examples(check, rows):
    report = check(altered(rows, 7, relevance=7, document="long " * 39))
    finding = report.failures[0]
    assert finding.unexpected == 1
    assert finding.summary == "Every relevance is 0 or 1: concerns 1 of 360 pairs (0.28%)"
    assert '"query": "question 1"' in finding.examples[0]
    assert '"relevance": 7' in finding.examples[0]
    assert "…" in finding.examples[0]
    old = check([row | {"created_at": row["created_at"] - timedelta(days=2000)} for row in rows])
    assert old.warnings[0].summary == "The newest pair is at most 30 days old: 2,000 days old"


def test_examples_are_few(check, rows):
    finding = check([row | {"relevance": 5} for row in rows]).failures[0]
    assert finding.unexpected == 360
    assert len(finding.examples) == 5


def test_the_report_is_kept_beside_the_data_docs(check, rows):
    report = check(altered(rows, 0, relevance=2))
    kept = report.data_docs.with_name("report.json").read_text("utf-8")
    assert ValidationReport.model_validate_json(kept) == report


def test_data_docs_show_what_failed(check, rows):
    report = check(altered(rows, 0, relevance=2))
    index = report.data_docs.read_text("utf-8")
    assert report.title in index
    assert report.failures[0].description in index
    links = [report.data_docs.parent / link for link in re.findall(r'href="(validations/[^"]+)"', index)]
    assert len(links) == 3
    pages = {page.parts[-4]: page.read_text("utf-8") for page in links}
    assert report.failures[0].description in pages["labelled-pairs"]
    assert {suite: "Failed" in re.sub("Failed Only", "", page) for suite, page in pages.items()} == {
        "labelled-pairs": True,
        "labelled-pairs-columns": False,
        "labelled-queries": False,
    }


def test_text_in_an_artifact_is_no_markup(check, rows):
    report = check(altered(rows, 0, document="~~~~\n# <script>alert(1)</script> | x", relevance=2))
    lines = report.to_markdown().splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("~~~~")]
    assert len(fences) == 2
    assert [number for number, line in enumerate(lines) if "<script>" in line] == [fences[0] + 1]
