"""Where the workers of one server put their counts, and which of them are alive."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Tells prometheus_client the folder. BentoML sets it in its workers, for which reason it is no setting of ours."""
_PROCESS = re.compile(r"_(\d+)\.db")


def count_apart() -> None:
    """Give the workers of this server a folder that no other server has; call it before any metric is made.

    All servers on one BENTOML_HOME get the same folder from BentoML, and each empties it when it starts: a second
    release beside the first, as in every roll-out on one host, would wipe out the first one's counts and count in
    their place. Folders of servers that ended are taken away.
    """
    if VARIABLE not in os.environ:
        return  # no worker
    common = Path(tempfile.gettempdir()) / f"reranker-metrics-{os.getuid()}"
    common.mkdir(mode=0o700, exist_ok=True)
    if common.is_symlink() or common.stat().st_uid != os.getuid():
        raise PermissionError(f"{common} belongs to somebody else: remove it, or set TMPDIR to another folder")
    for folder in common.iterdir():
        if not _runs(folder.name):
            shutil.rmtree(folder, ignore_errors=True)  # a sibling may be at it too
    own = common / server_name(os.getppid())
    own.mkdir(mode=0o700, exist_ok=True)
    os.environ[VARIABLE] = str(own)
    # prometheus_client asks for the process id at every count, which cost a request of one document 5 % of its time.
    # A worker never forks.
    process = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]


def living_workers(folder: Path, server: int) -> set[int]:
    """Return the processes that count in `folder`, and let the gauges of dead ones go; `server` is their parent."""
    living = set()
    for file in folder.glob("*.db"):
        matched = _PROCESS.search(file.name)
        if matched is None:
            continue
        worker = int(matched[1])
        if _works_for(worker, server):
            living.add(worker)
        else:
            with suppress(FileNotFoundError):  # a sibling was asked at the same time and took it away
                mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]
    return living


def _works_for(worker: int, server: int) -> bool:
    try:
        process = psutil.Process(worker)
        # A stranger that got a dead worker's number has another parent.
        return bool(process.ppid() == server and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def server_name(server: int) -> str:
    """Return a name of the process that no later one gets, be its number the same."""
    return f"{server}-{_started(server)}"


def _runs(name: str) -> bool:
    try:
        return server_name(int(name.partition("-")[0])) == name
    except (psutil.NoSuchProcess, OSError, ValueError):
        return False


def _started(process: int) -> str:
    stat = Path(f"/proc/{process}/stat")
    if stat.parent.parent.exists():
        # In ticks since the boot (proc(5), field 22): psutil's time of day changes when the clock is set.
        return stat.read_text().rpartition(")")[2].split()[19]
    return f"{psutil.Process(process).create_time():.0f}"
