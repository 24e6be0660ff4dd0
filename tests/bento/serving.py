"""The service as users run it: `bentoml serve` of a packaged Bento, in processes of its own."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.contracts.release import PackagedBento
from flows.hosting.probing import wait_until_ready
from flows.hosting.processes import Server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(bento: PackagedBento, folder: Path, **options: object) -> Server:
    """Start a server with RERANKER_SERVICE_<OPTION>s; it is not ready yet."""
    environment = {f"RERANKER_SERVICE_{name.upper()}": str(value) for name, value in options.items()}
    port = free_port()
    return Server.start(bento, "127.0.0.1", port, folder / f"service-{port}.log", environment)


@contextmanager
def serving(bento: PackagedBento, folder: Path, **options: object) -> Iterator[Server]:
    """Serve until the block ends; ready at its start."""
    server = start(bento, folder, **options)
    try:
        wait_until_ready(server, 60)
        yield server.with_workers()
    finally:
        server.stop()
