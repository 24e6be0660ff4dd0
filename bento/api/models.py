"""Which model answers, in the shape of the lists that OpenAI and Infinity give."""

import time
from typing import Literal, Self

from pydantic import BaseModel, Field

from bento.api.wire import json_reply
from bento.gateway.exchange import Reply, Request, Route
from bento.model.manifest import Manifest, Measurement


class ModelCard(BaseModel):
    """What a model is, where it comes from, and what was measured of it."""

    id: str = Field(description="Name and version, such as reranker:3.")
    object: Literal["model"] = "model"
    owned_by: Literal["reranker-mlops"] = "reranker-mlops"
    created: int = Field(description="When this process loaded it, in seconds since 1970.")
    capabilities: list[str] = ["rerank"]
    version: int = Field(description="In the registry.")
    digest: str = Field(description="SHA-256 of the trained weights and tokenizer.")
    snapshot: str = Field(description="SHA-256 of the pairs it was trained on.")
    max_length: int = Field(description="Tokens of query and document together; longer documents are cut.")
    score_scale: Literal["0..1"] = Field(
        "0..1", description="Of scores: the sigmoid of the logit, unless raw ones are asked for."
    )
    engine: str = Field(description="What runs it here, such as openvino-int8.")
    measurements: list[Measurement] = Field(description="Of every engine, on the host that packaged it.")

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the card of the model that this process has just loaded."""
        return cls(
            id=manifest.model,
            created=int(time.time()),
            version=manifest.version,
            digest=manifest.digest,
            snapshot=manifest.snapshot,
            max_length=manifest.max_length,
            engine=manifest.engine.name,
            measurements=list(manifest.measurements),
        )


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
