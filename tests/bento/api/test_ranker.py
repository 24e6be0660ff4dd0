"""The one ranking behind all shapes."""

import asyncio
import math
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from bento.api import Ranker, Ranking, RankTask
from bento.api.ranker import sigmoid
from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.exchange import Request
from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics
from tests.bento.api.conftest import MAX_DOCUMENTS, MAX_LENGTH, Recorder, WordScorer


def rank(ranker: Ranker, task: RankTask, deadline: float = 0.0) -> Ranking:
    request = Request("request-1", "/v1/rerank", b"", {}, "anonymous", deadline)
    return asyncio.run(ranker.rank(task, request))


class GivenLogits:
    """Gives each document the logit that it spells."""

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, deadline: float, max_document_tokens: int | None = None
    ) -> list[ScoredPair]:
        return [ScoredPair(float(document), 5, False, False, cached=True) for _, document in pairs]


def of_logits(logits: list[float], top_n: int | None = None) -> Ranking:
    metrics = Metrics("reranker:1", CollectorRegistry())
    ranker = Ranker(GivenLogits(), ServiceSettings(), metrics, None, "reranker:1", 16)
    return rank(ranker, RankTask("a", [repr(logit) for logit in logits], top_n))


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(logits=st.lists(finite | st.sampled_from([0.0, 1.5, 50.0]), min_size=1, max_size=30), top_n=st.integers(1, 40))
def test_order_is_stable_and_scores_are_the_sigmoid(logits: list[float], top_n: int) -> None:
    ranking = of_logits(logits, top_n)
    expected = sorted(range(len(logits)), key=lambda index: (-logits[index], index))[:top_n]
    assert [ranked.index for ranked in ranking.results] == expected
    assert [ranked.logit for ranked in ranking.results] == [logits[index] for index in expected]
    scores = [ranked.score for ranked in ranking.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


@given(finite)
def test_sigmoid_is_symmetric_and_never_overflows(logit: float) -> None:
    assert sigmoid(logit) + sigmoid(-logit) == pytest.approx(1)
    assert math.isclose(sigmoid(min(logit, -30.0)), math.exp(min(logit, -30.0)), rel_tol=1e-12)


def test_counts_all_documents_and_returns_the_best(ranker: Ranker, scorer: WordScorer) -> None:
    long = "word " * (MAX_LENGTH + 1)
    ranking = rank(ranker, RankTask("sort list", ["zzz", "sort a list", long], top_n=1), deadline=123.0)
    assert [ranked.index for ranked in ranking.results] == [1]
    assert (ranking.documents, ranking.truncated, ranking.unusual) == (3, 1, 1)
    assert ranking.tokens == 3 * 2 + 1 + 3 + MAX_LENGTH
    assert scorer.calls[0]["deadline"] == 123.0


def test_equal_documents_are_scored_once_and_keep_their_order(ranker: Ranker, scorer: WordScorer) -> None:
    ranking = rank(ranker, RankTask("cat", ["mat", "the cat", "mat", "the cat"]))
    assert [ranked.index for ranked in ranking.results] == [1, 3, 0, 2]
    assert ranking.results[0].score == ranking.results[1].score
    assert scorer.calls[0]["pairs"] == [("cat", "mat"), ("cat", "the cat")]
    assert ranking.documents == 4


@pytest.mark.parametrize(
    ("asked", "passed"), [(None, None), (3, 3), (MAX_LENGTH - 1, MAX_LENGTH - 1), (MAX_LENGTH, None), (4_096, None)]
)
def test_a_cut_beyond_what_the_model_reads_is_none(
    ranker: Ranker, scorer: WordScorer, asked: int | None, passed: int | None
) -> None:
    rank(ranker, RankTask("a", ["b"], max_document_tokens=asked))
    assert scorer.calls[0]["max_document_tokens"] == passed


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (
            RankTask("a", ["b"] * (MAX_DOCUMENTS + 1)),
            ["`documents` has 121", "120", "RERANKER_SERVICE_MAX_DOCUMENTS"],
        ),
        (RankTask("a", ["b"] * (MAX_DOCUMENTS + 1), field="texts"), ["`texts` has 121"]),
        (RankTask("a" * 1_000, ["b" * 500, "c" * 501]), ["2001", "2000", "RERANKER_SERVICE_MAX_CHARACTERS"]),
    ],
)
def test_limits_hold_before_anything_is_scored(
    ranker: Ranker, scorer: WordScorer, task: RankTask, words: list[str]
) -> None:
    with pytest.raises(RefusedError) as refused:
        rank(ranker, task)
    assert (refused.value.status, refused.value.kind) == (422, "invalid_request")
    assert all(word in refused.value.message for word in words)
    assert scorer.calls == []


def test_what_is_just_within_the_limits_is_taken(ranker: Ranker) -> None:
    assert rank(ranker, RankTask("a" * 1_000, ["b"] * MAX_DOCUMENTS)).documents == MAX_DOCUMENTS
    assert rank(ranker, RankTask("a" * 1_000, ["b" * 500, "c" * 500])).documents == 2


def test_counts_and_records_in_the_order_of_the_request(
    ranker: Ranker, recorder: Recorder, registry: CollectorRegistry
) -> None:
    rank(ranker, RankTask("cat", ["mat", "the cat", "mat"], top_n=1))
    expected = [WordScorer.scored("cat", document) for document in ("mat", "the cat", "mat")]
    assert recorder.records == [("request-1", "cat", ["mat", "the cat", "mat"], expected)]
    assert registry.get_sample_value("reranker_pairs_total", {"origin": "engine"}) == 3


@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_never_given_out(logit: float) -> None:
    with pytest.raises(RefusedError) as refused:
        of_logits([1.0, logit])
    assert (refused.value.status, refused.value.kind) == (500, "internal_error")


def test_a_refusal_of_the_scorer_reaches_the_sender(recorder: Recorder, settings: ServiceSettings) -> None:
    class Full:
        async def score(
            self, pairs: Sequence[tuple[str, str]], *, deadline: float, max_document_tokens: int | None = None
        ) -> list[ScoredPair]:
            raise RefusedError(429, "overloaded", "Later.", {"retry-after": "2"})

    ranker = Ranker(Full(), settings, Metrics("reranker:1", CollectorRegistry()), recorder, "reranker:1", 16)
    with pytest.raises(RefusedError) as refused:
        rank(ranker, RankTask("a", ["b"]), time.monotonic() + 1)
    assert refused.value.headers == {"retry-after": "2"}
    assert recorder.records == []
