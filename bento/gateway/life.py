"""Whether the service takes requests: from ready, through draining, to the end."""

import asyncio
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from bento.gateway.crew import Crew


@dataclass
class Load:
    """How many requests are being answered."""

    requests: int = 0


class Life:
    """Knows whether new requests are welcome, and ends the worker in order on SIGTERM."""

    def __init__(self, crew: Crew, drain_seconds: float, faults: Callable[[], str | None]) -> None:
        """`faults` tells why this worker must not score, or None."""
        self.load = Load()
        self._crew = crew
        self._drain_seconds = drain_seconds
        self._faults = faults
        self._ending: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Join the crew and take over SIGTERM; call it once, on the event loop, when the model is warm."""
        self._crew.join()
        self._watching = asyncio.create_task(self._crew.watch())
        server_exit = signal.getsignal(signal.SIGTERM)
        # Only a server's own handler is put off, and signals reach the main thread alone.
        if callable(server_exit) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._first_drain(server_exit, asyncio.get_running_loop()))

    async def end(self) -> None:
        """Leave the crew."""
        if self._watching is not None:
            self._watching.cancel()
        self._crew.leave()

    def refusal(self) -> str | None:
        """Return why a new request cannot be taken, or None."""
        if self._ending is not None:
            return "The service is ending"
        if self._crew.draining:
            return "The service is draining"
        return self._faults()

    def unready(self) -> str | None:
        """Return why no balancer should send requests, or None."""
        if (reason := self.refusal()) is not None:
            return reason
        return None if self._crew.complete else "A worker is gone and not yet replaced"

    def drain(self, on: bool) -> None:
        """Make all workers refuse new requests, or take them again."""
        self._crew.drain(on)

    def _first_drain(
        self, server_exit: Callable[[int, FrameType | None], Any], loop: asyncio.AbstractEventLoop
    ) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            if self._ending is not None:  # asked twice: now
                server_exit(number, frame)
                return
            loop.call_soon_threadsafe(start)

        def start() -> None:
            if self._ending is None:
                if self._watching is not None:
                    self._watching.cancel()  # siblings that end are not missed now
                self._ending = loop.create_task(self._drain_then(lambda: server_exit(signal.SIGTERM, None)))

        return handle

    async def _drain_then(self, leave: Callable[[], None]) -> None:
        """Refuse in words for a while, finish what is in flight, then let the server close its port."""
        await asyncio.sleep(self._drain_seconds)
        while self.load.requests:
            await asyncio.sleep(0.01)
        leave()
