"""Which model answers, in the shape of the lists that OpenAI and Infinity give."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from bento.api.wire import json_reply
from bento.gateway.exchange import Reply, Request, Route


class ModelCard(BaseModel):
    """What a model is, where it comes from, and what was measured of it."""

    id: str = Field(description="Name and version, such as reranker:3.")
    object: Literal["model"] = "model"
    owned_by: str = Field("reranker-mlops", description="Who made it.")
    created: int = Field(description="When it was packaged, in seconds since 1970.")
    capabilities: list[str] = ["rerank"]
    version: int = Field(description="In the registry.")
    digest: str = Field(description="SHA-256 of the trained weights and tokenizer.")
    snapshot: str = Field(description="SHA-256 of the pairs it was trained on.")
    max_length: int = Field(description="Tokens of query and document together; longer documents are cut.")
    score_scale: Literal["0..1"] = Field(
        "0..1", description="Of scores: the sigmoid of the logit, unless raw ones are asked for."
    )
    engine: str = Field(description="What runs it here.")
    measurements: dict[str, Any] = Field(description="Taken when it was packaged: speed and quality, by engine.")


class ModelList(BaseModel):
    """All models that answer here: one."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def model_routes(card: ModelCard) -> list[Route]:
    """Return GET /v1/models, and the same of the one model."""
    one = card.model_dump(mode="json")
    listed, alone = json_reply({"object": "list", "data": [one]}), json_reply(one)

    async def all_models(request: Request) -> Reply:
        return listed

    async def this_model(request: Request) -> Reply:
        return alone

    return [
        Route("GET", "/v1/models", "rerank", all_models),
        Route("GET", f"/v1/models/{card.id}", "rerank", this_model),
    ]
