"""How long idle connections stay, which `bentoml serve` lets nobody say but on its command line."""

from starlette.types import Receive
from uvicorn import Config


def keep_alive(receive: Receive, seconds: int, last_answers: int) -> bool:
    """Make uvicorn keep idle connections for at least `seconds`, and end `last_answers` seconds after it is told to.

    Returns whether this is uvicorn.

    A load balancer that keeps its connections longer than the server does sends requests into closing ones. BentoML's
    default of 5 seconds is far below any balancer's. The receiver of the ASGI lifespan belongs to uvicorn's lifespan,
    which holds the configuration that every later connection reads.
    """
    configuration = getattr(getattr(receive, "__self__", None), "config", None)
    if not isinstance(configuration, Config):
        return False
    configuration.timeout_keep_alive = max(seconds, configuration.timeout_keep_alive)
    if configuration.timeout_graceful_shutdown is None:
        # Without a limit a client that does not read its answer keeps the process from ever ending.
        configuration.timeout_graceful_shutdown = last_answers
    return True
