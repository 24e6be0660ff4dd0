"""Detached processes that outlive the command that started them, known again by pid and birth time."""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

MARKER = "RERANKER_STACK"
"""Variable that every process of a stack inherits: the stack's home. It finds the ones that lost their parent."""


class ProcessRecord(BaseModel):
    """A process that was started, as remembered on disk.

    A pid alone is no identity: numbers come round again after a reboot, and a folder may be copied from another
    machine. The birth time tells the process from a stranger with its number, and `home` a copied folder from its
    original.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float
    """Birth of the process, seconds since the epoch, as the system reports it."""
    home: Path
    port: int | None
    fingerprint: str
    """Digest of command and environment: a process with another one was started from other settings."""

    def process(self) -> psutil.Process | None:
        """Return the living process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None


def spawn(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> psutil.Popen:
    """Start `command` in a session of its own, both outputs to `log`; the log before it is kept as `<log>.1`."""
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    with log.open("wb") as output:
        return psutil.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return the process and all that descend from it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def marked(home: Path) -> list[psutil.Process]:
    """Return every living process that inherited the marker of the stack at `home`, but not the caller's own line."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own and _marker(process) == str(home)]


def _marker(process: psutil.Process) -> str | None:
    try:
        environment: dict[str, str] = process.environ()
        return environment.get(MARKER)
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return None


def end(processes: Iterable[psutil.Process], *, patience: float = 10) -> None:
    """Ask the processes to end, kill those that have not after `patience` seconds, and return when all are gone."""
    remaining = list({process.pid: process for process in processes}.values())
    for process in remaining:
        _signal(process.terminate)
    _, remaining = psutil.wait_procs(remaining, timeout=patience)
    for process in remaining:
        _signal(process.kill)
    psutil.wait_procs(remaining, timeout=patience)


def _signal(send: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        send()


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, each indented."""
    if not log.exists():
        return "    (empty)"
    kept = log.read_text("utf-8", "replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (empty)"
