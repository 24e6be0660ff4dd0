"""The servers and the worker of one machine: brought up together, found again, taken down together."""

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import ValidationError

from deployments.local.environment import FOREIGN, QUIET, stack_environment
from deployments.local.interruption import Interruption
from deployments.local.processes import MARKER, ProcessRecord, end, family, marked, spawn, tail
from deployments.local.services import Service, services
from flows.settings import Settings

Progress = Callable[[str], None]

_NAMES = ("prefect", "mlflow", "reports", "worker")
_LISTENING = ("prefect", "mlflow", "reports")
_POLL_SECONDS = 0.2
_REUSE_SECONDS = 30.0
"""How long a process that lives may take to show that it works, before it is replaced."""


class StackFailed(RuntimeError):
    """The stack cannot be brought up; the message says what to do."""


class PortInUse(StackFailed):
    """Another program listens on a port that the settings ask for."""


@dataclass(frozen=True)
class ServiceStatus:
    """One part of the stack, as it is now."""

    name: str
    title: str
    state: str
    """"running", "not answering" or "stopped"."""
    url: str
    pid: int | None
    log: Path


class Stack:
    """The Prefect server, the MLflow server, the reports and the worker that belong to one home folder.

    Each is a detached process, recorded under `run/` with its log under `logs/`. Nothing is kept in memory: another
    command with the same settings finds the same stack.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = settings.folder()
        self._children: list[psutil.Popen] = []  # kept, or their end would be warned about

    def start(self, progress: Progress = lambda line: None, *, timeout: float = 180) -> None:
        """Bring up what does not run yet and return when all of it works; what runs well is left alone.

        `timeout` is the patience for each part, in seconds. StackFailed, with the end of the log, when a part does
        not come up, and PortInUse when the settings ask for a port that is taken; a port that they do not ask for
        is replaced by a free one. When it fails or is interrupted, nothing is left running.
        """
        with Interruption() as interruption, self._alone(progress, interruption):
            ports = {name: self._free_port(name, progress) for name in _LISTENING}
            try:
                self._bring_up(services(self._settings, ports), progress, interruption, timeout)
            except BaseException:
                progress("Stopping what was started ...")
                self._take_down()
                raise

    def stop(self, progress: Progress = lambda line: None) -> int:
        """End everything of this stack, flow runs included, and return how many processes that were.

        Processes are told by pid and birth time, and by the variable that all of the stack inherit, so it ends
        nobody else's, even in a copied folder or after a reboot.
        """
        with Interruption() as interruption, self._alone(progress, interruption):
            return self._take_down()

    def status(self) -> list[ServiceStatus]:
        """Return the state of each part, asked now."""
        found = []
        for service in services(self._settings, self.ports()):
            record = self._record(service.name)
            process = record.process() if record else None
            working = record is not None and process is not None and service.healthy(record)
            state = "running" if working else "not answering" if process else "stopped"
            pid = process.pid if process else None
            found.append(ServiceStatus(service.name, service.title, state, service.url, pid, self._log(service.name)))
        return found

    def ports(self) -> dict[str, int]:
        """Return the port of each server: the one it has, else the one it had, else the one of the settings."""
        records = {name: self._record(name) for name in _LISTENING}
        return {name: self._wanted_port(name, record) for name, record in records.items()}

    @property
    def settings(self) -> Settings:
        """The settings with the ports that the servers really have, for the addresses that people are told."""
        ports = {f"{name}_port": port for name, port in self.ports().items()}
        return self._settings.model_copy(update={"servers": self._settings.servers.model_copy(update=ports)})

    def environment(self) -> dict[str, str]:
        """Return the variables under which clients and flow runs find the stack and its settings."""
        return stack_environment(self._settings, self.ports())

    def _bring_up(
        self, waiting: list[Service], progress: Progress, interruption: Interruption, timeout: float
    ) -> None:
        launched: dict[str, _Launch] = {}
        while waiting:
            interruption.check()
            names = {service.name for service in waiting}
            for service in list(waiting):
                launch = launched.get(service.name)
                if launch is None:
                    if service.after not in names:
                        launched[service.name] = self._launch(service, progress, timeout)
                elif service.healthy(launch.record):
                    waiting.remove(service)
                    how = "was running" if launch.reused else f"up after {launch.age():.0f} s"
                    progress(" ".join(filter(None, [service.title, how, service.url])))
                elif launch.reused and (launch.over() or launch.record.process() is None):
                    progress(f"{service.title} lives but does not answer: starting it anew")
                    self._end_service(service.name)
                    del launched[service.name]
                elif launch.over() or launch.record.process() is None:
                    raise StackFailed(self._report_failure(service, launch))
            time.sleep(_POLL_SECONDS)

    def _launch(self, service: Service, progress: Progress, timeout: float) -> "_Launch":
        """Take up the running process of a service if it is the right one, else start it."""
        record = self._record(service.name)
        if record and record.process():
            if record.fingerprint == service.fingerprint:
                return _Launch(record, reused=True, patience=_REUSE_SECONDS)
            if service.name == "worker" and len(self._processes("worker")) > 1:
                progress("The worker keeps its old settings: it has flow runs. Start again when they have ended.")
                return _Launch(record, reused=True, patience=_REUSE_SECONDS)
            progress(f"{service.title} runs with other settings: starting it anew")
        self._end_service(service.name)
        progress(f"{service.title} starts ...")
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        child = spawn(
            service.command,
            environment={**inherited, **QUIET, **service.environment, MARKER: str(self._home)},
            folder=service.folder,
            log=self._log(service.name),
        )
        self._children.append(child)
        record = ProcessRecord(
            pid=child.pid,
            created=child.create_time(),
            home=self._home,
            port=service.port,
            fingerprint=service.fingerprint,
        )
        path = self._record_path(service.name)
        path.touch(mode=0o600)
        path.write_text(record.model_dump_json(), "utf-8")
        return _Launch(record, reused=False, patience=timeout)

    def _take_down(self) -> int:
        """End the worker and its flow runs first, so that these can still report to the server, then the rest."""
        ended = self._end_service("worker")
        rest = [process for name in _NAMES for process in self._processes(name)]
        while living := {process.pid: process for process in [*rest, *marked(self._home)]}:
            ended += len(living)
            end(living.values())
            rest = []
        for name in _NAMES:
            self._record_path(name).unlink(missing_ok=True)
        return ended

    def _end_service(self, name: str) -> int:
        processes = self._processes(name)
        end(processes)
        return len(processes)

    def _processes(self, name: str) -> list[psutil.Process]:
        """Return the recorded process, if it lives, with its descendants; a worker's are its flow runs."""
        record = self._record(name)
        process = record.process() if record else None
        return family(process) if process else []

    def _record(self, name: str) -> ProcessRecord | None:
        """Return what was noted at the start of a service, unless it is of another stack or unreadable."""
        try:
            record = ProcessRecord.model_validate_json(self._record_path(name).read_text("utf-8"))
        except (FileNotFoundError, ValidationError):
            return None
        return record if record.home == self._home else None

    def _record_path(self, name: str) -> Path:
        return self._settings.file("run", f"{name}.json")

    def _log(self, name: str) -> Path:
        return self._settings.file("logs", f"{name}.log")

    def _wanted_port(self, name: str, record: ProcessRecord | None) -> int:
        field = f"{name}_port"
        chosen: int = getattr(self._settings.servers, field)
        explicit = field in self._settings.servers.model_fields_set
        return chosen if explicit or record is None or record.port is None else record.port

    def _free_port(self, name: str, progress: Progress) -> int:
        record = self._record(name)
        wanted = self._wanted_port(name, record)
        if record and record.port == wanted and record.process():
            return wanted
        if _is_free(wanted):
            return wanted
        field = f"{name}_port"
        variable = f"RERANKER_SERVERS__{field.upper()}"
        if field in self._settings.servers.model_fields_set:
            raise PortInUse(
                f"Port {wanted}, set for {name} by {variable}, is in use by another program. "
                f"Stop that program, or set {variable} to a free port."
            )
        port = next(filter(_is_free, range(wanted + 1, wanted + 100)), None)
        if port is None:
            raise PortInUse(f"No free port for {name} from {wanted} to {wanted + 99}. Set {variable} to a free one.")
        progress(f"Port {wanted} is in use: {name} takes {port} (choose with {variable})")
        return port

    def _report_failure(self, service: Service, launch: "_Launch") -> str:
        log = self._log(service.name)
        what = "does not answer" if launch.record.process() else "ended at once"
        return (
            f"{service.title} {what} ({launch.age():.0f} s after its start). The end of {log}:\n{tail(log)}\n"
            "Nothing is left running. Mend what the log names and start again; "
            f"`make clean` takes away all local state under {self._home}."
        )

    @contextmanager
    def _alone(self, progress: Progress, interruption: Interruption) -> Iterator[None]:
        """Hold the lock of this stack, so that two commands neither start a thing twice nor undo each other."""
        with self._settings.file("run", "lock").open("a") as lock:
            told = False
            while not _try_lock(lock.fileno()):
                if not told:
                    progress("Another command is starting or stopping the stack: waiting for it ...")
                told = True
                interruption.check()
                time.sleep(_POLL_SECONDS)
            yield


class _Launch:
    """A service on its way up."""

    def __init__(self, record: ProcessRecord, *, reused: bool, patience: float) -> None:
        self.record = record
        self.reused = reused
        self._since = time.monotonic()
        self._patience = patience

    def age(self) -> float:
        return time.monotonic() - self._since

    def over(self) -> bool:
        return self.age() > self._patience


def _is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port; one that listens on all addresses counts as well."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
