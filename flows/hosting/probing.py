"""Asking a server whether it is ready, and whether it is right."""

import time
from collections.abc import Sequence

import httpx

from flows.contracts.release import PackagedBento, ScoredPair
from flows.hosting.processes import Server

_POLL_SECONDS = 0.1


class ProbeFailed(Exception):
    """The server is not fit for traffic; the message says why."""


def wait_until_ready(server: Server, seconds: float) -> None:
    """Return when the server has loaded its model; ProbeFailed when it ends, or is not ready after `seconds`."""
    until = time.monotonic() + seconds
    while not is_ready(server, seconds=2):
        # BentoML starts a worker that fails again and again; there is no use in watching that until the time is up.
        if not server.running or "Application startup failed" in server.printed():
            raise ProbeFailed(f"it failed while starting; the last lines of {server.log}:\n{server.last_words()}")
        if time.monotonic() > until:
            raise ProbeFailed(
                f"it was not ready after {seconds:g} s (RERANKER_HOST__START_TIMEOUT); the last lines of "
                f"{server.log}:\n{server.last_words()}"
            )
        time.sleep(_POLL_SECONDS)


def is_ready(server: Server, seconds: float, model_version: int | None = None) -> bool:
    """Return whether the server says within `seconds` that it is ready, with the given version of the model."""
    try:
        answer = httpx.get(f"{server.url}/readyz", timeout=seconds, trust_env=False)
    except httpx.TransportError:
        return False
    version = answer.headers.get("x-model-version")
    return answer.status_code == 200 and model_version in (None, int(version or -1))


def check_answers(server: Server, bento: PackagedBento, checks: Sequence[ScoredPair], limit: float) -> None:
    """Ask over the route that clients use; ProbeFailed when version or a score (by more than `limit`) is wrong."""
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        for number, check in enumerate(checks):
            try:
                answer = client.post("/v1/rerank", json={"query": check.query, "documents": [check.document]})
            except httpx.TransportError as failure:
                raise ProbeFailed(f"it does not answer: {failure}") from failure
            if answer.status_code != 200:
                raise ProbeFailed(f"it answers check {number} with {answer.status_code}: {answer.text[:300]}")
            version = answer.headers.get("x-model-version")
            if version != str(bento.model_version):
                raise ProbeFailed(f"it serves model version {version} instead of {bento.model_version}")
            score = answer.json()["results"][0]["relevance_score"]
            if not abs(score - check.score) <= limit:
                raise ProbeFailed(
                    f"it scores check {number} as {score:.6f} where the packaged model gave {check.score:.6f}"
                )
