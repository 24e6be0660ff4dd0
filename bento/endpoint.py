"""The ASGI application under /v1. BentoML's own API methods cost more than a small model does; this does not."""

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from bento.messages import Error, ErrorResponse, RefusedError, parse_rerank
from bento.ranking import Ranker

logger = logging.getLogger("bentoml.reranker")

REQUEST_ID = "reranker.request_id"
"""Key of the request's id in the ASGI scope; BentoML overwrites a plain "request_id"."""


class RerankEndpoint:
    """Answers POST /v1/rerank; every refusal has the one shape of `ErrorResponse`."""

    def __init__(self, ranker: Callable[[], Ranker], max_documents: int) -> None:
        """Take `ranker` as a function, since BentoML mounts applications before it makes the service."""
        self._ranker = ranker
        self._max_documents = max_documents

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request_id = scope[REQUEST_ID]
        try:
            answer = await self._answer(scope, receive, request_id)
        except RefusedError as refusal:
            await send_refusal(send, refusal, request_id)
        except Exception as failure:  # noqa: BLE001 - the last door: every request gets an answer
            # Not the message: it may hold what the client sent.
            frames = "".join(traceback.format_tb(failure.__traceback__))
            logger.error("request %s failed with %s:\n%s", request_id, type(failure).__name__, frames)
            apology = RefusedError(
                500, "internal_error", "The service failed: report this request_id to its operator."
            )
            await send_refusal(send, apology, request_id)
        else:
            await send_json(send, 200, json.dumps(answer).encode())

    async def _answer(self, scope: Scope, receive: Receive, request_id: str) -> dict[str, Any]:
        if scope["path"] != "/v1/rerank":
            raise RefusedError(404, "not_found", f"Nothing answers at {scope['path']}: POST to /v1/rerank.")
        if scope["method"] != "POST":
            raise RefusedError(405, "method_not_allowed", "Send a POST with {query, documents}.", {"allow": "POST"})
        request = parse_rerank(await Request(scope, receive).body(), self._max_documents)
        ranker = self._ranker()
        results = await ranker.rank(request.query, request.texts, request.top_n)
        return {
            "id": request_id,
            "model": ranker.engine.manifest.model,
            "results": [{"index": r.index, "relevance_score": r.relevance_score} for r in results],
        }


async def send_refusal(send: Send, refusal: RefusedError, request_id: str) -> None:
    """Send what `refusal` says."""
    error = Error(type=refusal.kind, message=refusal.message, request_id=request_id)
    await send_json(send, refusal.status, ErrorResponse(error=error).model_dump_json().encode(), refusal.headers)


async def send_json(send: Send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    """Send a whole JSON response."""
    fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
