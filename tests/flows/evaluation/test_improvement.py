"""What a scorer adds to the retriever's order, and how often its order is right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from flows.evaluation import (
    Evaluation,
    EvaluationError,
    improvement,
    per_query_metrics,
    reranking_accuracy,
    summarise,
)


def judged(name, lists):
    per_query = per_query_metrics(lists)
    return Evaluation(name, per_query, summarise(lists, per_query), lists)


def test_gain_and_counts_by_hand(lists):
    before = judged("bm25", lists(a=[(1, 1), (0, 2)], b=[(1, 2), (0, 1)], c=[(1, 2), (0, 1)], d=[(1, 1), (0, 2)]))
    after = judged("model", lists(a=[(1, 2), (0, 1)], b=[(1, 1), (0, 2)], c=[(1, 2), (0, 1)], d=[(1, 2), (0, 1)]))
    found = improvement(after, before)["mrr@10"]
    assert (found.better, found.worse, found.alike) == (2, 1, 1)
    assert (found.retriever, found.reranked) == (pytest.approx(0.75), pytest.approx(0.875))
    assert found.gain == pytest.approx(0.125)
    assert found.relative == pytest.approx(0.125 / 0.75)


def test_no_share_of_nothing(lists):
    buried = lists(a=[(1, -1)] + [(0, float(i)) for i in range(10)])
    found = lists(a=[(1, 99)] + [(0, float(i)) for i in range(10)])
    gain = improvement(judged("model", found), judged("bm25", buried))["ndcg@10"]
    assert (gain.retriever, gain.gain, gain.relative) == (0, 1, None)


def test_a_scorer_adds_nothing_to_itself(lists):
    same = judged("bm25", lists(a=[(1, 1), (0, 2)], b=[(1, 2), (0, 1)]))
    for found in improvement(same, same).values():
        assert (found.gain, found.relative, found.better, found.worse, found.alike) == (0, 0, 0, 0, 2)


def test_other_queries_are_refused(lists):
    with pytest.raises(EvaluationError, match="model and bm25 were judged on different queries: 2"):
        improvement(judged("model", lists(a=[(1, 1)])), judged("bm25", lists(b=[(1, 1)])))


def test_accuracy_by_hand(lists):
    # a: both others below the relevant one; b: one of two; c: nothing relevant; d: nothing else.
    scored = lists(a=[(1, 3), (0, 2), (0, 1)], b=[(1, 2), (0, 3), (0, 1)], c=[(0, 1), (0, 2)], d=[(1, 1), (1, 2)])
    found = reranking_accuracy(scored)
    assert found.first == pytest.approx(2 / 3)
    assert (found.pairs, found.judged_pairs) == (pytest.approx(3 / 4), 4)


def test_accuracy_of_nothing_is_none(lists):
    assert reranking_accuracy(lists(a=[(0, 1), (0, 2)])).model_dump() == {
        "first": None,
        "pairs": None,
        "judged_pairs": 0,
    }
    only = reranking_accuracy(lists(a=[(1, 1), (1, 2)]))
    assert (only.first, only.pairs, only.judged_pairs) == (1, None, 0)


both_labels = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=20).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(first=both_labels, second=both_labels)
@settings(max_examples=60, deadline=None)
def test_pairs_in_order_are_the_area_under_the_curve(lists, first, second):
    """Of each list: 0.5 for ties, and lists count by their pairs."""
    areas, weights = [], []
    for rows in (first, second):
        labels, scores = zip(*rows, strict=True)
        areas.append(roc_auc_score(labels, scores))
        weights.append(sum(labels) * (len(labels) - sum(labels)))
    found = reranking_accuracy(lists(a=first, b=second))
    assert found.pairs == pytest.approx(np.average(areas, weights=weights))
    assert found.judged_pairs == sum(weights)
