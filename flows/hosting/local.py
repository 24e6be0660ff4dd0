"""The host of the local profile: the service as a process of this machine."""

import fcntl
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from flows.contracts.release import PackagedBento, Release, ScoredPair
from flows.hosting.failures import HostBusy, PortTaken, ReleaseRefused, ReleaseReverted
from flows.hosting.probing import ProbeFailed, check_answers, is_ready, wait_until_ready
from flows.hosting.processes import Server
from flows.hosting.record import ReleaseRecord
from flows.settings import HostSettings

logger = logging.getLogger(__name__)


class _Servers(BaseModel):
    """The processes this host started, on disk before they are used, so that none is ever lost."""

    live: Server | None = None
    green: Server | None = None


class LocalProcessHost:
    """Serves on one port with plain processes.

    A roll-out first starts the new release on another port and asks it the checks, while the old one serves. Only
    then it ends the old one and starts the new one on the service's port. Nothing stands before the two, so for the
    seconds of that start new requests are refused or wait; `Release.seconds_without_service` says for how long. A
    host with a load balancer does without that gap.

    What a killed roll-out leaves running, the next one finds by what was written down, and ends.
    """

    name = "local-process"

    def __init__(self, settings: HostSettings, folder: Path, prediction_log: Path | None = None) -> None:
        """Keep state, logs and the record of releases in `folder`; the service records in `prediction_log`."""
        self._settings = settings
        self._prediction_log = prediction_log
        self._folder = folder
        self.record = ReleaseRecord(folder / "releases.jsonl")

    @property
    def url(self) -> str:
        """Where the service answers."""
        address = self._settings.address
        return f"http://{'127.0.0.1' if address == '0.0.0.0' else address}:{self._settings.port}"  # noqa: S104

    def roll_out(
        self,
        bento: PackagedBento,
        checks: Sequence[ScoredPair],
        approved_by: str = "gate",
        progress: Callable[[str], None] = logger.info,
    ) -> Release:
        """Let `bento` serve once it has answered `checks` rightly; nothing happens when it serves already.

        Raises:
            HostBusy: Another roll-out is at work.
            PortTaken: A process that is not ours listens on the port.
            ReleaseRefused: The release was not ready in time or answered wrongly; the old one was not touched.
            ReleaseReverted: It failed on the service's port; the old one was started again.
        """
        with self._alone():
            self._end_strays()
            current = self.current()
            if current is not None and current.bento.digest == bento.digest:
                progress(f"{bento.tag} serves already at {self.url}")
                return current
            self.require_port()
            self._rehearse(bento, checks, approved_by, progress)
            return self._switch(bento, checks, approved_by, progress)

    def current(self) -> Release | None:
        """Return the release that answers now, or None."""
        server, release = self._servers().live, self.record.last_live()
        if server is None or release is None or server.tag != release.bento.tag or not server.running:
            return None
        return release if is_ready(server, 5, release.bento.model_version) else None

    def stop(self) -> None:
        """End the service and whatever a broken roll-out left; the record of releases stays."""
        with self._alone():
            for role in ("green", "live"):
                self._end(role)

    def _rehearse(
        self, bento: PackagedBento, checks: Sequence[ScoredPair], approved_by: str, progress: Callable[[str], None]
    ) -> None:
        """Let the release answer on another port, while the old one serves."""
        progress(f"starting {bento.tag} beside the service")
        try:
            self._start("green", bento, _free_port(), checks)
        except ProbeFailed as failure:
            self._note(bento, approved_by, "refused", str(failure))
            serving = self._revive()
            raise ReleaseRefused(f"{bento.tag} gets no traffic: {failure}\n{serving}") from failure
        finally:
            self._end("green")

    def _switch(
        self, bento: PackagedBento, checks: Sequence[ScoredPair], approved_by: str, progress: Callable[[str], None]
    ) -> Release:
        """Give the port to the release; on any failure, also an interruption, give it back."""
        progress(f"giving port {self._settings.port} to {bento.tag}")
        ended = time.monotonic() if self._servers().live else None
        try:
            self._end("live")
            self._start("live", bento, self._settings.port, checks)
        except BaseException as failure:
            self._end("live")
            reason = str(failure) or type(failure).__name__
            self._note(bento, approved_by, "reverted", reason)
            serving = self._revive()
            if isinstance(failure, ProbeFailed):
                raise ReleaseReverted(
                    f"{bento.tag} failed on port {self._settings.port}: {reason}\n{serving}"
                ) from failure
            raise
        gap = 0.0 if ended is None else time.monotonic() - ended
        return self._note(bento, approved_by, "live", seconds_without_service=round(gap, 3))

    def _revive(self) -> str:
        """Start the last live release again if it does not run; return one sentence on what serves now."""
        release = self.record.last_live()
        if release is None:
            return "Nothing served before it, so nothing serves now."
        if self.current() is None:
            self._end("live")
            try:
                self._start("live", release.bento, self._settings.port, release.bento.checks)
            except ProbeFailed as failure:
                return f"{release.bento.tag} could not be started again either: {failure}"
        return f"{release.bento.tag} serves at {self.url}."

    def _start(self, role: str, bento: PackagedBento, port: int, checks: Sequence[ScoredPair]) -> None:
        """Start a server, write it down, and return when it is ready and right; ProbeFailed when it is not."""
        log = self._folder / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{bento.tag.replace(':', '-')}-{role}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        options = {"RERANKER_SERVICE_WORKERS": str(self._settings.workers)}
        if self._prediction_log is not None and role == "live":  # nobody but us asks green
            options["RERANKER_SERVICE_PREDICTION_LOG"] = str(self._prediction_log)
            options["RERANKER_SERVICE_PREDICTION_SHARE"] = str(self._settings.prediction_share)
        server = Server.start(bento, self._settings.address, port, log, options)
        self._keep(role, server)
        wait_until_ready(server, self._settings.start_timeout)
        self._keep(role, server.with_workers())
        int8 = bento.engine.endswith("int8")
        limit = self._settings.max_int8_score_difference if int8 else self._settings.max_score_difference
        check_answers(server, bento, checks, limit)

    def _end_strays(self) -> None:
        """End what a killed roll-out left: a green, and a server on the port whose release was never recorded."""
        self._end("green")
        live, release = self._servers().live, self.record.last_live()
        if live is not None and (release is None or live.tag != release.bento.tag):
            self._end("live")

    def _end(self, role: str) -> None:
        server: Server | None = getattr(self._servers(), role)
        if server is not None:
            server.stop()
            self._keep(role, None)

    def require_port(self) -> None:
        """Raise PortTaken when a process that is not ours listens on the service's port."""
        live = self._servers().live
        if live is not None and live.running:
            return  # the port is ours
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._settings.address, self._settings.port))
            except OSError as failure:
                raise PortTaken(
                    f"Port {self._settings.port} of {self._settings.address} cannot be used ({failure.strerror}): "
                    "end what uses it, or set RERANKER_HOST__PORT to another port."
                ) from failure

    def _note(
        self,
        bento: PackagedBento,
        approved_by: str,
        outcome: str,
        reason: str = "",
        seconds_without_service: float = 0.0,
    ) -> Release:
        release = Release.model_validate(
            {
                "bento": bento,
                "host": self.name,
                "url": self.url,
                "approved_by": approved_by,
                "at": datetime.now(UTC),
                "outcome": outcome,
                "reason": reason,
                "seconds_without_service": seconds_without_service,
            }
        )
        self.record.append(release)
        return release

    def _servers(self) -> _Servers:
        path = self._folder / "servers.json"
        return _Servers.model_validate_json(path.read_bytes()) if path.is_file() else _Servers()

    def _keep(self, role: str, server: Server | None) -> None:
        """Write down a server, whole or not at all."""
        servers = self._servers().model_copy(update={role: server})
        fresh = self._folder / "servers.json.new"
        fresh.write_text(servers.model_dump_json(indent=2), "utf-8")
        fresh.replace(self._folder / "servers.json")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HostBusy(f"Another roll-out is at work in {self._folder}: wait until it ends.") from None
            yield


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
