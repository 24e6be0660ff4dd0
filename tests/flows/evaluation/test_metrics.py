import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from flows.evaluation import METRICS, EvaluationError, per_query_metrics, summarise


def frame(relevance, scores, grades=None, query="q"):
    return pd.DataFrame(
        {
            "query_id": query,
            "document_id": [f"d{i}" for i in range(len(relevance))],
            "relevance": np.asarray(relevance, dtype=np.int8),
            "grade": pd.array(grades if grades is not None else [None] * len(relevance), dtype="Int8"),
            "score": np.asarray(scores, dtype=np.float32),
        }
    )


def judge(relevance, scores, grades=None):
    return per_query_metrics(frame(relevance, scores, grades)).loc["q"]


def test_a_list_judged_by_hand():
    # Ranked: 0 1 0 1 0 | relevant at ranks 2 and 4, three relevant in all.
    got = judge([0, 1, 0, 1, 0, 1], [6, 5, 4, 3, 2, -1])
    assert got["mrr@10"] == pytest.approx(1 / 2)
    assert got["map@10"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 6) / 3)
    assert got["hits@10"] == 1
    assert got[[f"precision@{k}" for k in (1, 3, 5, 10)]].tolist() == pytest.approx([0, 1 / 3, 2 / 5, 3 / 10])
    assert got[[f"recall@{k}" for k in (1, 3, 5, 10)]].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    gained = 1 / math.log2(3) + 1 / math.log2(5) + 1 / math.log2(7)
    assert got["ndcg@10"] == pytest.approx(gained / (1 + 1 / math.log2(3) + 1 / math.log2(4)))


def test_graded_gain_by_hand():
    # Grades 0 3 1 in ranked order; the ideal order is 3 1 0.
    got = judge([0, 1, 1], [3, 2, 1], grades=[0, 3, 1])
    assert got["ndcg@10"] == pytest.approx((3 / math.log2(3) + 1 / math.log2(4)) / (3 + 1 / math.log2(3)))


def test_a_relevant_candidate_without_a_grade_gains_one():
    mixed = judge([1, 1, 0], [1, 2, 3], grades=[2, None, None])
    filled = judge([1, 1, 0], [1, 2, 3], grades=[2, 1, 0])
    assert mixed["ndcg@10"] == filled["ndcg@10"]


def test_everything_is_cut_at_ten():
    eleventh = judge([0] * 10 + [1], range(11, 0, -1))
    assert eleventh.drop("ndcg@10").tolist() == [0.0] * (len(METRICS) - 1)
    assert eleventh["ndcg@10"] == 0
    tenth = judge([0] * 9 + [1, 0], range(11, 0, -1))
    assert tenth["mrr@10"] == pytest.approx(0.1)
    assert tenth["map@10"] == pytest.approx(0.1)
    assert tenth["hits@10"] == 1
    assert tenth["ndcg@10"] == pytest.approx(1 / math.log2(11))


def test_map_divides_by_all_relevant_even_below_the_cut():
    got = judge([1] + [0] * 9 + [1], range(11, 0, -1))
    assert got["map@10"] == pytest.approx(1 / 2)


def test_queries_without_a_relevant_candidate_are_left_out_and_counted(lists):
    scored = lists(a=[(1, 0.9), (0, 0.1)], b=[(0, 0.9), (0, 0.1)], c=[(0, 0.9), (1, 0.1)])
    per_query = per_query_metrics(scored)
    summary = summarise(scored, per_query)
    assert per_query.index.tolist() == ["a", "c"]
    assert (summary.queries, summary.left_out, summary.pairs) == (2, 1, 6)
    assert summary.metrics["mrr@10"] == pytest.approx(0.75)
    assert set(summary.metrics) == set(METRICS)


@pytest.mark.parametrize("relevant_first", [True, False])
def test_constant_scores_earn_what_chance_gives(relevant_first):
    """The lists stand best first or worst first; a scorer that says nothing must profit from neither."""
    candidates, queries = 10, 2000
    labels = [1] + [0] * (candidates - 1)
    if not relevant_first:
        labels.reverse()
    scored = pd.concat(frame(labels, [0.5] * candidates, query=f"q{i}") for i in range(queries))
    got = per_query_metrics(scored).mean()
    chance = sum(1 / rank for rank in range(1, candidates + 1)) / candidates
    spread = math.sqrt(sum(1 / rank**2 for rank in range(1, candidates + 1)) / candidates - chance**2)
    assert abs(got["mrr@10"] - chance) < 4 * spread / math.sqrt(queries)
    assert abs(got["precision@1"] - 0.1) < 4 * math.sqrt(0.09 / queries)


def test_ties_fall_the_same_way_whatever_the_row_order():
    scored = frame([0, 1, 0, 1, 0, 0], [1, 1, 1, 0, 0, 0])
    assert per_query_metrics(scored).equals(per_query_metrics(scored.iloc[::-1].reset_index(drop=True)))


def test_scores_that_differ_in_the_last_bit_are_no_tie():
    """Both ways round: if the two scores were one, one order would be judged wrong."""
    low = np.float32(0.9)
    high = np.nextafter(low, np.float32(1))
    assert judge([1, 0], [high, low])["mrr@10"] == 1
    assert judge([1, 0], [low, high])["mrr@10"] == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused(lists, bad):
    with pytest.raises(
        EvaluationError, match=r"1 of 2 pairs a score that is NaN or infinite.*document d1 of query a"
    ):
        per_query_metrics(lists(a=[(1, 0.5), (0, bad)]))


def test_a_candidate_twice_is_refused(lists):
    scored = lists(a=[(1, 0.5), (0, 0.1)])
    with pytest.raises(EvaluationError, match="stand twice"):
        per_query_metrics(pd.concat([scored, scored]))


def test_no_relevant_candidate_anywhere_is_an_error(lists):
    with pytest.raises(EvaluationError, match="No query has a relevant candidate"):
        per_query_metrics(lists(a=[(0, 0.5), (0, 0.1)]))


candidate_lists = st.lists(st.integers(0, 3), min_size=2, max_size=25).filter(any)
score_lists_of = st.lists(st.floats(-50, 50, width=32), min_size=25, max_size=25, unique=True)


def from_grades(grades, scores):
    return frame([int(g > 0) for g in grades], scores[: len(grades)], grades)


@given(grades=candidate_lists, scores=score_lists_of)
@settings(max_examples=60, deadline=None)
def test_ndcg_is_sklearns(grades, scores):
    got = per_query_metrics(from_grades(grades, scores)).loc["q", "ndcg@10"]
    assert got == pytest.approx(ndcg_score([grades], [scores[: len(grades)]], k=10), abs=1e-6)


@given(grades=candidate_lists, scores=score_lists_of, order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_changes_nothing(grades, scores, order):
    scored = from_grades(grades, scores)
    rows = list(range(len(scored)))
    order.shuffle(rows)
    assert per_query_metrics(scored).equals(per_query_metrics(scored.iloc[rows]))


@given(grades=candidate_lists)
@settings(max_examples=40, deadline=None)
def test_the_perfect_order_is_one_and_nothing_exceeds_it(grades):
    best = per_query_metrics(frame([int(g > 0) for g in grades], grades, grades)).loc["q"]
    relevant = sum(g > 0 for g in grades)
    assert best["ndcg@10"] == pytest.approx(1)
    assert best["mrr@10"] == best["hits@10"] == best["precision@1"] == 1
    assert best["map@10"] == pytest.approx(min(relevant, 10) / relevant)
    assert best["recall@10"] == pytest.approx(min(relevant, 10) / relevant)


@given(grades=candidate_lists, scores=score_lists_of)
@settings(max_examples=40, deadline=None)
def test_lifting_a_relevant_candidate_never_hurts(grades, scores):
    scored = from_grades(grades, scores)
    best = scored.index[scored["grade"] == scored["grade"].max()]
    lifted = scored.copy()
    lifted.loc[best[0], "score"] = scored["score"].max() + 1
    before, after = per_query_metrics(scored).loc["q"], per_query_metrics(lifted).loc["q"]
    assert (after >= before - 1e-9).all()


@given(grades=candidate_lists, scores=score_lists_of, query=st.text(min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_every_metric_stands_between_zero_and_one(grades, scores, query):
    got = per_query_metrics(from_grades(grades, scores))
    assert got.to_numpy().min() >= 0
    assert got.to_numpy().max() <= 1 + 1e-9
