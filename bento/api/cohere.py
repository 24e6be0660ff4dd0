"""The shapes of Cohere: v1, which Jina shares, and v2."""

from typing import Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from bento.api.documents import DocumentsRequest, MaxTokens, Result, ReturnDocuments, ScoreScale, Usage, result, usage
from bento.api.ranker import Ranking
from bento.api.wire import json_reply
from bento.gateway.exchange import Reply

DOCUMENTS_PER_SEARCH_UNIT = 100
"""As Cohere counts: one query with up to so many documents."""


class RerankRequest(DocumentsRequest):
    """As Cohere v1 and Jina take it. Documents are repeated only when asked for, as with Cohere."""

    return_documents: ReturnDocuments = None

    def answer(self, ranking: Ranking, request_id: str, model: str) -> Reply:
        """Return what `RerankResponse` describes."""
        results = []
        for ranked in ranking.results:
            entry = result(ranked, self.raw_scores)
            document = self.documents[ranked.index]
            given = None if isinstance(document, str) else document.get("id")
            if given is not None:
                entry["id"] = given
            if self.return_documents:
                text = self.text(ranked.index)
                entry["document"] = {"text": text} if given is None else {"text": text, "id": given}
            results.append(entry)
        return json_reply(
            {
                "id": request_id,
                "model": model,
                "results": results,
                "meta": _meta(ranking, "1", self.score_scale),
                "usage": usage(ranking),
            }
        )


class RerankV2Request(DocumentsRequest):
    """As Cohere v2 takes it."""

    max_tokens_per_doc: MaxTokens = 4_096

    def answer(self, ranking: Ranking, request_id: str, model: str) -> Reply:
        """Return what `RerankV2Response` describes."""
        return json_reply(
            {
                "id": request_id,
                "model": model,
                "results": [result(ranked, self.raw_scores) for ranked in ranking.results],
                "meta": _meta(ranking, "2", self.score_scale),
            }
        )


class ReturnedDocument(TypedDict):
    """A document as it was sent."""

    text: str
    id: NotRequired[str | int]


class RerankResult(Result):
    """One document's place in the order."""

    id: str | int | None = Field(None, description="There where the document came with one.")
    document: ReturnedDocument | None = Field(None, description="There with `return_documents`.")


class ApiVersion(BaseModel):
    """Whose shape the answer is in."""

    version: Literal["1", "2"]


class BilledUnits(BaseModel):
    """As Cohere would count."""

    search_units: int = Field(description="One for each hundred documents, or part of it.")


class Tokens(BaseModel):
    """Tokens that the model read, special tokens included."""

    input_tokens: int


class Meta(BaseModel):
    """What is true of the request as a whole, results that `top_n` left out included."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    score_scale: ScoreScale = Field(description="Of `relevance_score`.")
    truncated_documents: int
    unusual_documents: int


class RerankV2Response(BaseModel):
    """The documents in order, best first; equal scores keep the request's order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "5f0c",
                "model": "reranker:3",
                "results": [{"index": 0, "relevance_score": 0.93}, {"index": 1, "relevance_score": 0.02}],
                "meta": {
                    "api_version": {"version": "2"},
                    "billed_units": {"search_units": 1},
                    "tokens": {"input_tokens": 41},
                    "score_scale": "0..1",
                    "truncated_documents": 0,
                    "unusual_documents": 0,
                },
            }
        }
    )

    id: str = Field(description="The request's id, also in the header x-request-id; feedback names it.")
    model: str = Field(description="Name and version of the model, such as reranker:3.")
    results: list[Result]
    meta: Meta


class RerankResponse(RerankV2Response):
    """The documents in order, best first; equal scores keep the request's order."""

    results: list[RerankResult]  # type: ignore[assignment]
    usage: Usage


def _meta(ranking: Ranking, version: str, score_scale: ScoreScale) -> dict[str, Any]:
    return {
        "api_version": {"version": version},
        "billed_units": {"search_units": -(-ranking.documents // DOCUMENTS_PER_SEARCH_UNIT)},
        "tokens": {"input_tokens": ranking.tokens},
        "score_scale": score_scale,
        "truncated_documents": ranking.truncated,
        "unusual_documents": ranking.unusual,
    }
