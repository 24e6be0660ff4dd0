import pandas as pd
import pytest

from flows.gate import decide, to_markdown
from flows.settings import GateSettings


def decision(ndcg, queries=40, challenger="challenger v2"):
    index = pd.Index([f"q{i}" for i in range(queries)])
    theirs = pd.DataFrame({"ndcg@10": 0.6, "mrr@10": 0.5, "map@10": 0.4}, index=index)
    return decide(
        theirs.assign(**{"ndcg@10": ndcg}),
        theirs,
        GateSettings(),
        challenger_name=challenger,
        incumbent_name="bm25",
        snapshot="ab" * 32,
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (decision(0.7), "**challenger v2 takes over from bm25**: it passed every rule on 40 queries."),
        (
            decision(0.6),
            '**challenger v2 does not take over from bm25**: on 40 queries it failed "NDCG@10 gains at least 0.01".',
        ),
        (decision(0.7, queries=9), "9 test queries are too few to tell"),
    ],
)
def test_the_verdict_is_one_plain_sentence(made, says):
    assert says in to_markdown(made)


def test_the_page_shows_both_sides_rules_and_evidence():
    page = to_markdown(decision(0.7))
    assert "| metric | challenger v2 | bm25 | difference |" in page
    assert "| ndcg@10 | 0.7000 | 0.6000 | +0.1000 |" in page
    assert "| NDCG@10 gains at least 0.01 | +0.1000 | yes |" in page
    assert "| at least 30 queries | 40 | yes |" in page
    assert "| ndcg@10 | +0.1000 | +0.1000 to +0.1000 | 0.0004 | 40 | 0 |" in page
    assert "ab" * 32 in page


def test_a_name_cannot_break_the_table():
    page = to_markdown(decision(0.7, challenger="models:/a|b <script>\n# boo"))
    tables = [line for line in page.splitlines() if line.startswith("| metric | models")]
    assert tables == ["| metric | models:/a\\|b \\<script\\> \\# boo | bm25 | difference |"]
