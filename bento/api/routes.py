"""Every path that ranks, whoever's shape it speaks, over one Ranker."""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from bento.api.cohere import RerankRequest, RerankV2Request
from bento.api.infinity import InfinityRequest
from bento.api.models import ModelCard, model_routes
from bento.api.ranker import Ranker, Ranking, RankTask
from bento.api.text_embeddings_inference import TextsRequest
from bento.api.wire import read, read_json, validate
from bento.errors import RefusedError
from bento.gateway.exchange import Reply, Request, Route


class RankRequest(Protocol):
    """A request of any shape: how it reads and how it is answered."""

    def task(self) -> RankTask:
        """Return what to do."""
        ...

    def answer(self, ranking: Ranking, request_id: str, model: str) -> Reply:
        """Return the reply in the shape of the request."""
        ...


def routes(ranker: Ranker, card: ModelCard) -> list[Route]:
    """Return the routes that rank, and those that tell of the model."""
    shapes: dict[str, Callable[[bytes], RankRequest]] = {
        "/v1/rerank": partial(read, RerankRequest),
        "/v2/rerank": partial(read, RerankV2Request),
        "/rerank": read_unversioned,
    }
    ranking = [Route("POST", path, "rerank", _RankHandler(ranker, shape)) for path, shape in shapes.items()]
    return [*ranking, *model_routes(card)]


def read_unversioned(body: bytes) -> TextsRequest | InfinityRequest:
    """Return what was sent to /rerank, where two shapes live: `texts` tell them apart from `documents`."""
    value = read_json(body, "{query, texts} or {query, documents}")
    match value:
        case {"texts": _}:
            return validate(TextsRequest, value)
        case {"documents": _}:
            return validate(InfinityRequest, value)
        case _:
            raise RefusedError(
                422,
                "invalid_request",
                "The body must be a JSON object with `query` and either `texts`, as text-embeddings-inference takes "
                "them, or `documents`, as Infinity does.",
            )


class _RankHandler:
    def __init__(self, ranker: Ranker, shape: Callable[[bytes], RankRequest]) -> None:
        self._ranker = ranker
        self._shape = shape

    async def __call__(self, request: Request) -> Reply:
        ranker = self._ranker
        began = time.perf_counter()
        asked = self._shape(request.body)
        task = asked.task()
        ranker.metrics.stage("parse", time.perf_counter() - began)
        ranking = await ranker.rank(task, request)
        began = time.perf_counter()
        reply = asked.answer(ranking, request.id, ranker.model_name)
        ranker.metrics.stage("answer", time.perf_counter() - began)
        return reply
