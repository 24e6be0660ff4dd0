"""Every route of the service as its documentation shows it."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from bento.api.cohere import RerankRequest, RerankResponse, RerankV2Request, RerankV2Response
from bento.api.infinity import InfinityRequest, InfinityResponse
from bento.api.models import ModelCard, ModelList
from bento.api.score import ScoreRequest
from bento.api.text_embeddings_inference import RankedText, TextsRequest
from bento.gateway.exchange import Access
from bento.predictions.feedback import PATH as FEEDBACK_PATH
from bento.predictions.feedback import FeedbackRequest, FeedbackResponse, Judgement

Tag = Literal["Ranking", "Models", "Feedback", "Operation"]


class State(BaseModel):
    """How the service is."""

    status: Literal["alive", "ready", "draining"]


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: Literal["get", "post"]
    path: str
    access: Access
    tag: Tag
    name: str
    summary: str
    answer: Any
    """The type of a success, or None for plain text."""
    request: Any = None
    """The type of the body."""
    example: Any = None
    """Of the body."""
    refusals: tuple[int, ...] = ()
    """Beyond those that follow from `access` and from taking a body."""
    status: int = 200
    """Of a success."""


_QUERY = "how do I sort a list?"
_TEXTS = ["sorted() returns a new sorted list.", "The cat sat on the mat."]
_OVERLOAD = (429, 503, 504)

OPERATIONS = (
    Operation(
        "post",
        "/v1/rerank",
        "rerank",
        "Ranking",
        "rerank",
        "Put documents in order, as Cohere v1 and Jina do",
        RerankResponse,
        RerankRequest,
        {"query": _QUERY, "documents": [_TEXTS[0], {"text": _TEXTS[1], "id": "cat-1"}], "top_n": 2},
        _OVERLOAD,
    ),
    Operation(
        "post",
        "/v2/rerank",
        "rerank",
        "Ranking",
        "rerank_v2",
        "Put documents in order, as Cohere v2 does",
        RerankV2Response,
        RerankV2Request,
        {"model": "reranker", "query": _QUERY, "documents": _TEXTS, "top_n": 2},
        _OVERLOAD,
    ),
    Operation(
        "post",
        "/rerank",
        "rerank",
        "Ranking",
        "rerank_unversioned",
        "Put texts in order, as text-embeddings-inference does, or `documents`, as Infinity does",
        list[RankedText] | InfinityResponse,
        TextsRequest | InfinityRequest,
        {"query": _QUERY, "texts": _TEXTS, "return_text": True},
        _OVERLOAD,
    ),
    Operation(
        "post",
        "/score",
        "rerank",
        "Ranking",
        "score",
        "Score pairs, 0 to 1, in the order given; BentoML's own clients call this",
        list[float],
        ScoreRequest,
        {"pairs": [{"query": _QUERY, "document": text} for text in _TEXTS]},
        _OVERLOAD,
    ),
    Operation("get", "/v1/models", "rerank", "Models", "models", "Which model answers", ModelList),
    Operation(
        "get", "/v1/models/{model}", "rerank", "Models", "model", "What one model is", ModelCard, refusals=(404,)
    ),
    Operation(
        "post",
        FEEDBACK_PATH,
        "rerank",
        "Feedback",
        "feedback",
        "Say which documents of an answer were relevant; this becomes training data",
        FeedbackResponse,
        Judgement | FeedbackRequest,
        {"request_id": "5f0c6f7e9a", "index": 0, "relevant": True},
        refusals=(404,),
        status=202,
    ),
    Operation("get", "/livez", "probe", "Operation", "livez", "Whether the process answers", State),
    Operation("get", "/healthz", "probe", "Operation", "healthz", "The same, under its older name", State),
    Operation(
        "get", "/readyz", "probe", "Operation", "readyz", "Whether to send requests here", State, refusals=(503,)
    ),
    Operation("get", "/metrics", "metrics", "Operation", "metrics", "Metrics, as Prometheus reads them", None),
    Operation(
        "post",
        "/v1/admin/drain",
        "admin",
        "Operation",
        "drain",
        "Take this host out of traffic",
        State,
        refusals=(503,),
    ),
    Operation(
        "post", "/v1/admin/resume", "admin", "Operation", "resume", "Put it back into traffic", State, refusals=(503,)
    ),
)
