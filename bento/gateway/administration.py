"""Probes for balancers and orchestrators, and the two doors of the operator."""

import json

from bento.errors import RefusedError
from bento.gateway.exchange import Reply, Request, Route
from bento.gateway.life import Life


class Administration:
    """Tells how the service is, and lets an operator take it out of traffic."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def routes(self) -> list[Route]:
        """Return /livez, /healthz, /readyz, and drain and resume."""
        return [
            Route("GET", "/livez", "probe", self._alive),
            Route("GET", "/healthz", "probe", self._alive),
            Route("GET", "/readyz", "probe", self._ready),
            Route("POST", "/v1/admin/drain", "admin", self._drain),
            Route("POST", "/v1/admin/resume", "admin", self._resume),
        ]

    async def _alive(self, request: Request) -> Reply:
        return _state("alive")

    async def _ready(self, request: Request) -> Reply:
        reason = self._life.unready()
        if reason is not None:
            raise RefusedError(503, "unavailable", f"{reason}: send requests elsewhere.", {"retry-after": "1"})
        return _state("ready")

    async def _drain(self, request: Request) -> Reply:
        self._life.drain(True)
        return _state("draining")

    async def _resume(self, request: Request) -> Reply:
        self._life.drain(False)
        return _state("ready")


def _state(state: str) -> Reply:
    return Reply(json.dumps({"status": state}).encode())
