import pandas as pd
import pytest

from flows.gate import Contender, decide, sentence, to_markdown
from tests.flows.gate.sides import QUICK, costs, frame, judge, noisy


def all_of(*challengers, **limits):
    incumbent = Contender("bm25", frame(0.5, queries=200))
    return decide(challengers, incumbent, QUICK.model_copy(update=limits), slices=None, snapshot="ab" * 32)


BETTER = Contender("version 2", noisy(0.06, 200))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (all_of(BETTER), "**version 2 takes over from bm25**: it passed every rule on 200 queries."),
        (
            all_of(BETTER, mode="dry_run"),
            "**version 2 would take over from bm25**: it passed every rule on 200 queries. This was a dry run: the "
            "champion stays.",
        ),
        (all_of(BETTER, mode="disabled"), "**version 2 takes over from bm25 UNJUDGED**: the gate is disabled."),
        (
            all_of(Contender("v2", noisy(0.02, 200))),
            "**v2 does not take over from bm25**: 200 test queries are too few to tell; about 517 would be enough.",
        ),
        (
            all_of(Contender("v2", frame(0.505, queries=200))),
            '**v2 does not take over from bm25**: on 200 queries it failed "NDCG@10 gains at least 0.01".',
        ),
        (
            all_of(Contender("v2", frame(0.6, queries=200)), Contender("v3", frame(0.7, queries=200))),
            "**v3 takes over from bm25**",
        ),
    ],
)
def test_the_verdict_is_one_plain_sentence(made, says):
    assert says in sentence(made)
    assert sentence(made) in to_markdown(made)


def test_the_page_shows_rules_both_sides_evidence_slices_and_costs():
    slices = pd.DataFrame({"source": ["a"] * 30 + ["b"] * 10}, index=frame(0.5).index)
    page = to_markdown(
        judge(frame(0.7), frame(0.6), slices=slices, challenger_costs=costs(), incumbent_costs=costs())
    )
    for line in (
        "| metric | version 2 | version 1 | difference |",
        "| ndcg@10 | 0.7000 | 0.6000 | +0.1000 |",
        "| NDCG@10 gains at least 0.01 | +0.1000 | +0.0100 | yes |",
        "| at least 30 queries | 40 | 30 | yes |",
        "| at most 1000 ms for a list | 100.0 | 1000.0 | yes |",
        "| at most 1.5 times the incumbent's 500 MB of memory | 1.00 | 1.50 | yes |",
        "| ndcg@10 | +0.1000 | +0.1000 to +0.1000 | 0.0010 | 40 | 0 |",
        "| source | a | 30 | +0.1000 | 1.0000 |  |",
        "| source | b | 10 | +0.1000 | too few |  |",
        "would be seen with probability 90% on about 30 queries",
    ):
        assert line in page
    assert "5" * 64 in page
    assert "Mode of the gate: enabled." in page


def test_several_challengers_stand_in_one_table_each_with_its_own_part():
    page = to_markdown(all_of(BETTER, Contender("version 3", noisy(-0.05, 200), costs())))
    assert "| version 2 | promote (preferred) | +0.0600 | " in page
    assert "| version 3 | reject | -0.0500 | " in page
    assert "## version 3: reject" in page
    assert "(Holm)" in page


def test_what_was_not_measured_is_said():
    assert "were not measured" in to_markdown(all_of(BETTER))
    assert "were not measured" not in to_markdown(judge(frame(0.7), frame(0.6), challenger_costs=costs()))


def test_many_slices_are_cut_short_and_counted():
    slices = pd.DataFrame({"source": [f"s{i}" for i in range(40)]}, index=frame(0.5).index)
    assert "28 more slices" in to_markdown(judge(frame(0.7), frame(0.6), slices=slices))


def test_a_name_cannot_break_the_table():
    page = to_markdown(all_of(Contender("models:/a|b <script>\n# boo", BETTER.per_query)))
    tables = [line for line in page.splitlines() if line.startswith("| metric | models")]
    assert tables == ["| metric | models:/a\\|b \\<script\\> \\# boo | bm25 | difference |"]
