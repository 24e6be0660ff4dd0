"""The shape of Infinity."""

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bento.api.documents import DocumentsRequest, Result, ReturnDocuments, ScoreScale, Usage, result, usage
from bento.api.ranker import Ranking
from bento.api.wire import json_reply
from bento.gateway.exchange import Reply


class InfinityRequest(DocumentsRequest):
    """As Infinity takes it."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"required": ["texts"]}}
    )  # that is the other shape of the path

    return_documents: ReturnDocuments = None

    def answer(self, ranking: Ranking, request_id: str, model: str) -> Reply:
        """Return what `InfinityResponse` describes."""
        results = []
        for ranked in ranking.results:
            entry = result(ranked, self.raw_scores)
            if self.return_documents:
                entry["document"] = self.text(ranked.index)
            results.append(entry)
        return json_reply(
            {
                "object": "rerank",
                "id": request_id,
                "model": model,
                "created": int(time.time()),
                "results": results,
                "usage": {
                    **usage(ranking),
                    "truncated_documents": ranking.truncated,
                    "unusual_documents": ranking.unusual,
                },
                "score_scale": self.score_scale,
            }
        )


class InfinityResult(Result):
    """One document's place in the order."""

    document: str | None = Field(None, description="Its text; there with `return_documents`.")


class InfinityUsage(Usage):
    """What is true of the request as a whole, results that `top_n` left out included."""

    truncated_documents: int
    unusual_documents: int


class InfinityResponse(BaseModel):
    """The documents in order, best first; equal scores keep the request's order."""

    object: Literal["rerank"]
    id: str = Field(description="The request's id, also in the header x-request-id; feedback names it.")
    model: str = Field(description="Name and version of the model, such as reranker:3.")
    created: int = Field(description="Seconds since 1970.")
    results: list[InfinityResult]
    usage: InfinityUsage
    score_scale: ScoreScale = Field(description="Of `relevance_score`.")
