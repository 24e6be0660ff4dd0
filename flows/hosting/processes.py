"""Server processes that outlive the flow that starts them, known by id and start time."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from flows.contracts.release import PackagedBento

STOP_SECONDS = 20.0
"""What a server gets to finish the requests it has, before it is killed."""

_CLOCK_SECONDS = 2.0
"""How much a start time may seem to move when the machine's clock is set; a process id is not reused that fast."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_INHERITED_PREFIXES = ("RERANKER_SERVICE_", "OTEL_")


class ProcessId(BaseModel):
    """A process, not to be confused with a later one that got the same number."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, process: psutil.Process) -> "ProcessId":
        """Identify a process that runs."""
        return cls(pid=process.pid, started=process.create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _CLOCK_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class Server(BaseModel):
    """A `bentoml serve` process, as it is written down."""

    model_config = ConfigDict(frozen=True)

    tag: str
    address: str
    port: int
    log: Path
    leader: ProcessId
    workers: tuple[ProcessId, ...] = ()
    """They have sessions of their own and outlive a leader that is killed, so they are known one by one."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{'127.0.0.1' if self.address == '0.0.0.0' else self.address}:{self.port}"  # noqa: S104

    @classmethod
    def start(cls, bento: PackagedBento, address: str, port: int, log: Path, options: Mapping[str, str]) -> "Server":
        """Start serving `bento`, detached from this process; it is not ready yet.

        Args:
            bento: What to serve.
            address: To listen on.
            port: To listen on.
            log: File for what the server prints.
            options: Environment of the service, such as RERANKER_SERVICE_WORKERS.
        """
        command = [sys.executable, "-m", "bentoml", "serve", bento.tag, "--host", address, "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=log.parent,
                env={**_inherited(), "BENTOML_HOME": str(bento.store), "BENTOML_DO_NOT_TRACK": "true", **options},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leader = ProcessId.of(psutil.Process(process.pid))
        return cls(tag=bento.tag, address=address, port=port, log=log, leader=leader)

    def with_workers(self) -> "Server":
        """Return this server with the workers that it has now."""
        leader = self.leader.find()
        workers = leader.children(recursive=True) if leader else []
        return self.model_copy(update={"workers": tuple(ProcessId.of(worker) for worker in workers)})

    @property
    def running(self) -> bool:
        """Whether its leader runs."""
        return self.leader.find() is not None

    def stop(self) -> None:
        """End it with all its workers: kindly, then by force. Nothing happens to processes that are not its own."""
        known = [self, self.with_workers()]
        members = {identity for server in known for identity in (server.leader, *server.workers)}
        processes = [process for identity in members if (process := identity.find())]
        for process in processes:
            if process.pid == self.leader.pid or not self.running:
                _signal(process, psutil.Process.terminate)  # the leader ends its workers in order
        _, stubborn = psutil.wait_procs(processes, timeout=STOP_SECONDS)
        for process in stubborn:
            _signal(process, psutil.Process.kill)
        psutil.wait_procs(stubborn, timeout=STOP_SECONDS)

    def printed(self) -> str:
        """Return its log."""
        return self.log.read_text("utf-8", "replace")

    def last_words(self, lines: int = 5) -> str:
        """Return the end of its log."""
        return "\n".join(self.printed().strip().splitlines()[-lines:])


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return  # it ended by itself


def _inherited() -> dict[str, str]:
    """Return what a server needs of this process's environment: it gets none of the secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
