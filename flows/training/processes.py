"""One training in several processes of this machine: gradients are averaged over them after every step.

`train_together` starts a launcher (this file, run as a program), which starts the processes with torch's elastic
agent, the one behind torchrun. What they have to say comes back through a pipe.
"""

import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from flows.contracts.model import TrainedModel
from flows.settings import TrainingSettings
from flows.training.checkpoints import CheckpointStore
from flows.training.failures import LostProcessError, TrainingError
from flows.training.progress import Progress

_log = logging.getLogger(__name__)

_Kind = Literal["progress", "log", "trained", "failed", "lost"]
_STOPPING_SECONDS = 30


@dataclass(frozen=True)
class Job:
    """What every process is told."""

    snapshot: Path
    settings: TrainingSettings
    start_from: str | Path
    output: Path
    store: CheckpointStore | None


def train_together(job: Job, on_progress: Callable[[Progress], None]) -> TrainedModel:
    """Train in `job.settings.processes` processes; the first of them reports and writes.

    Raises the TrainingError of whichever process failed first, and LostProcessError for one that just died; the
    others are stopped then. They are stopped as well when this process dies or is interrupted.
    """
    inbox, outlet = multiprocessing.Pipe(duplex=False)
    program = [sys.executable, "-m", "flows.training.processes", str(outlet.fileno())]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(  # noqa: S603 - our own program
        program, stdin=subprocess.PIPE, pass_fds=[outlet.fileno()], env=environment
    ) as launcher:
        outlet.close()
        try:
            if launcher.stdin is None:
                raise RuntimeError("the launcher has no standard input although one was asked for")
            pickle.dump(job, launcher.stdin)
            launcher.stdin.flush()  # and stays open: its end tells the launcher that this process is gone
            return _listen(inbox, on_progress)
        finally:
            launcher.terminate()
            try:
                launcher.wait(_STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                launcher.kill()
            inbox.close()


def _listen(inbox: Connection, on_progress: Callable[[Progress], None]) -> TrainedModel:
    """Pass on what the processes say, until the last of them has closed the pipe."""
    trained: TrainedModel | None = None
    failure: TrainingError | None = None
    while True:
        try:
            kind, content = inbox.recv()
        except EOFError:
            break
        if kind == "progress":
            on_progress(content)
        elif kind == "log":
            logging.getLogger(content[0]).log(*content[1:])
        elif kind == "trained":
            trained = content
        elif failure is None or (kind == "failed" and isinstance(failure, LostProcessError)):
            failure = content
    if failure is not None:
        raise failure
    if trained is None:
        raise LostProcessError("The processes of the training ended without a word: were they killed?")
    return trained


class _Speaker(logging.Handler):
    """Sends this process's progress and log lines to the one that started the training."""

    def __init__(self, outlet: Connection) -> None:
        super().__init__()
        self._outlet = outlet

    def say(self, kind: _Kind, content: Any) -> None:
        self._outlet.send((kind, content))

    def emit(self, record: logging.LogRecord) -> None:
        self.say("log", (record.name, record.levelno, record.getMessage()))


def _one_of_many(job: Job, outlet: Connection) -> None:
    """Train as one of the processes, whose number torch's launcher has put into the environment."""
    import torch

    from flows.contracts.snapshot import Snapshot
    from flows.training.ranks import rank
    from flows.training.training import fit

    _end_with_the_launcher()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // job.settings.processes))
    speaker = _Speaker(outlet)
    logging.getLogger("flows").setLevel(logging.INFO)
    first = os.environ["RANK"] == "0"
    if first:
        logging.getLogger("flows").addHandler(speaker)
    try:
        trained = fit(
            Snapshot(job.snapshot),
            job.settings,
            job.start_from,
            job.output,
            lambda progress: speaker.say("progress", progress),
            job.store,
        )
    except TrainingError as failure:
        speaker.say("failed", failure)
        raise
    if rank() == 0:
        speaker.say("trained", trained)
    torch.distributed.destroy_process_group()


def _end_with_the_launcher() -> None:
    """Leave no process behind that waits for others which are gone."""
    launcher = multiprocessing.parent_process()
    if launcher is not None:

        def watch() -> None:
            launcher.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def _end_with_standard_input() -> None:
    def watch() -> None:
        while sys.stdin.buffer.read(1):
            pass
        os.kill(os.getpid(), 15)  # torch's agent stops its processes on SIGTERM

    threading.Thread(target=watch, daemon=True).start()


def _launch(descriptor: int) -> None:
    """Start the processes and wait for them."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    _end_with_standard_input()
    outlet = Connection(descriptor, readable=False)
    count = job.settings.processes
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(os.getpid()),
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # another attempt is the caller's, and goes on from a checkpoint
        monitor_interval=0.2,
        start_method="spawn",
    )
    try:
        elastic_launch(config, _one_of_many)(job, outlet)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        how = f"by {failure.signal_name()}" if failure.exitcode < 0 else f"with status {failure.exitcode}"
        outlet.send(
            (
                "lost",
                LostProcessError(
                    f"Process {number + 1} of the {count} that trained together ended {how}, and the others were "
                    "stopped; no model was written. Start again: training goes on from its newest checkpoint. If it "
                    "ends so again, look for a lack of memory, or set RERANKER_TRAINING__PROCESSES lower."
                ),
            )
        )


if __name__ == "__main__":
    from flows.training import processes  # so that what is pickled here is known by its name there

    processes._launch(int(sys.argv[1]))
