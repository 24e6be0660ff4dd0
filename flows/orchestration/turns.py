"""One at a time: the champion and the traffic are never moved by two runs at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

LEASE_SECONDS = 60.0
"""After a killed run its turn passes on within this time."""


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Wait for the one slot of the global concurrency limit `name` (made when missing) and hold it."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    with concurrency(name, occupy=1, lease_duration=LEASE_SECONDS, strict=True):
        yield
