"""The program that starts the processes of a training, and what runs in each; see `flows.training.processes`."""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from flows.training.failures import LostProcessError, TrainingError
from flows.training.processes import Job, Kind


class _Speaker(logging.Handler):
    """Sends this process's progress and log lines to the one that started the training."""

    def __init__(self, outlet: Connection) -> None:
        super().__init__()
        self._outlet = outlet

    def say(self, kind: Kind, content: Any) -> None:
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
            job.negatives,
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
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)  # torch's agent stops its processes on SIGTERM

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
        outlet.send(("lost", _lost(error.failures, count)))


def _lost(failures: dict[int, Any], count: int) -> LostProcessError:
    """Return which process ended first: one that was killed, where there is one, since the others miss it."""
    number, failure = min(failures.items(), key=lambda one: (one[1].exitcode >= 0, one[1].timestamp))
    how = (
        f"by {failure.signal_name()}" if failure.exitcode < 0 else f"with status {failure.exitcode}, as it said above"
    )
    return LostProcessError(
        f"Process {number + 1} of the {count} that trained together ended {how}, and the others were stopped; no "
        "model was written. Start again: training goes on from its newest checkpoint. If it ends so again, look for "
        "a lack of memory, or set RERANKER_TRAINING__PROCESSES lower."
    )


if __name__ == "__main__":
    _launch(int(sys.argv[1]))
