"""The worst queries, as people open them in a spreadsheet."""

import csv
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluation import EvaluationError, evaluate
from flows.evaluation.failed_cases import failed_cases, inert, write_cases
from flows.evaluation.lineup import Lineup

ODD = ('=HYPERLINK("http://x")', "+1", "-1", "@a", "\t=1", "\r\n=1", "＝1", "a;=1", 'say "no", then\nstop', "…é漢")


@pytest.fixture(scope="module")
def table(make_split):
    return make_split(40, text=lambda q, d: f"{ODD[(q + d) % len(ODD)]} {q}.{d}")


@pytest.fixture(scope="module")
def lineup(table, seeing):
    challenger, bm25 = (evaluate(table, seeing(name, table, 1.0, seed)) for seed, name in enumerate(("new", "bm25")))
    return Lineup.of(challenger, [], bm25)


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_worst_come_first_each_with_its_whole_list(lineup, table):
    cases = failed_cases(lineup, lineup.predictions(), table, worst=5)
    ndcg = lineup.challenger.per_query["ndcg@10"]
    shown = cases.drop_duplicates("query_id").set_index("query_id")["ndcg@10"]
    assert len(shown) == 5
    assert shown.is_monotonic_increasing
    assert shown.max() <= ndcg.drop(shown.index).min()
    assert shown.equals(ndcg.loc[shown.index])
    assert cases.groupby("query_id", sort=False)["new rank"].apply(list).tolist() == [[1, 2, 3, 4, 5, 6]] * 5
    assert cases.columns.tolist() == [
        *("query_id", "ndcg@10", "query", "document_id", "document", "relevance", "grade"),
        *("new score", "new rank", "bm25 rank"),
    ]


def test_labels_ranks_and_text_are_the_candidates_own(lineup, table):
    cases = failed_cases(lineup, lineup.predictions(), table, worst=50)
    source = {(row["query_id"], row["document_id"]): row for row in table.to_pylist()}
    predicted = lineup.predictions().set_index(["query_id", "document_id"])
    for row in cases.astype({"grade": object}).to_dict("records"):
        key = row["query_id"], row["document_id"]
        assert (row["query"], row["document"]) == (source[key]["query"], source[key]["document"])
        assert row["relevance"] == source[key]["relevance"]
        assert (row["new rank"], row["bm25 rank"]) == tuple(predicted.loc[key, ["new rank", "bm25 rank"]])


def test_perfect_lists_are_no_failures(table, seeing, tmp_path):
    perfect = evaluate(table, seeing("new", table, 0.0, 0))
    lineup = Lineup.of(perfect, [], evaluate(table, seeing("bm25", table, 2.0, 1)))
    write_cases(failed_cases(lineup, lineup.predictions(), table, worst=50), tmp_path / "cases.csv")
    assert rows_of(tmp_path / "cases.csv") == []
    assert "bm25 rank" in (tmp_path / "cases.csv").read_text("utf-8-sig")


def test_the_file_reads_back_as_it_was_and_starts_no_formula(lineup, table, tmp_path):
    cases = failed_cases(lineup, lineup.predictions(), table, worst=50)
    write_cases(cases, tmp_path / "cases.csv")
    rows = rows_of(tmp_path / "cases.csv")
    assert [row["document"].removeprefix("'") for row in rows] == cases["document"].tolist()
    assert [int(row["new rank"]) for row in rows] == cases["new rank"].tolist()
    assert [float(row["new score"]) for row in rows] == pytest.approx(cases["new score"].tolist(), abs=1e-6)
    assert {row["grade"] for row in rows} == {"", "0", "3"}
    guarded = [row["document"] for row in rows if row["document"].startswith("'")]
    assert guarded
    for row in rows:
        for text in (row["query"], row["document"]):
            assert not unicodedata.normalize("NFKC", text.strip()).startswith(("=", "+", "-", "@"))


def test_names_of_scorers_start_no_formula(table, seeing, tmp_path):
    evil = evaluate(table, seeing("=cmd|'/c calc'!A0", table, 1.0, 0))
    lineup = Lineup.of(evil, [], evaluate(table, seeing("@bm25", table, 2.0, 1)))
    write_cases(failed_cases(lineup, lineup.predictions(), table, worst=1), tmp_path / "cases.csv")
    first = rows_of(tmp_path / "cases.csv")[0]
    assert list(first)[-3:] == ["'=cmd|'/c calc'!A0 score", "'=cmd|'/c calc'!A0 rank", "'@bm25 rank"]


def test_a_table_without_a_candidate_is_refused(lineup, table):
    worst = lineup.challenger.per_query["ndcg@10"].idxmin()
    gone = table["query_id"].to_pylist().index(worst)
    rest = table.filter([row != gone for row in range(table.num_rows)])
    with pytest.raises(EvaluationError, match="lacks 1 of the candidates"):
        failed_cases(lineup, lineup.predictions(), rest, worst=5)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("=+-@\t\r\n ＝'a\u200b", max_size=6)
)
@settings(max_examples=300, deadline=None)
def test_no_text_starts_a_formula(text):
    safe = inert(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    visible = "".join(c for c in safe if c.isprintable()).strip()
    assert not unicodedata.normalize("NFKC", visible[:1]).startswith(("=", "+", "-", "@"))
    assert safe.removeprefix("'") == text.removeprefix("'")


def test_plain_text_is_left_alone():
    for text in ("", "a=b", "it's", "1-2", "query\nof two lines", "«»"):
        assert inert(text) == text


@pytest.mark.parametrize("length", [32_000, 32_001, 100_000])
def test_no_cell_spills_into_the_next(length):
    safe = inert("=" + "x" * length)
    assert len(safe) <= 32_767
    assert safe.startswith("'=xxx")
    assert safe.endswith("…")
