"""One training in several processes of this machine: gradients are averaged over them after every step.

`train_together` starts the program `flows.training.launcher`, which starts the processes with torch's elastic agent,
the one behind torchrun. What they have to say comes back through a pipe.
"""

import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from flows.contracts.model import TrainedModel
from flows.settings import TrainingSettings
from flows.training.checkpoints import CheckpointStore
from flows.training.failures import LostProcessError, TrainingError
from flows.training.progress import Progress

Kind = Literal["progress", "log", "trained", "failed", "lost"]
"""What a message of the processes is."""

_STOPPING_SECONDS = 30
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """What every process is told."""

    snapshot: Path
    settings: TrainingSettings
    start_from: str | Path
    output: Path
    store: CheckpointStore | None
    negatives: Path | None = None


def train_together(job: Job, on_progress: Callable[[Progress], None]) -> TrainedModel:
    """Train in `job.settings.processes` processes; the first of them reports and writes.

    Raises the TrainingError of whichever process failed first, and LostProcessError for one that just died; the
    others are stopped then. They are stopped as well when this process dies or is interrupted.
    """
    inbox, outlet = multiprocessing.Pipe(duplex=False)
    program = [sys.executable, "-m", "flows.training.launcher", str(outlet.fileno())]
    # Not all of `sys.path`: in a flow's process that holds the folder `flows`, whose `packaging` would hide another.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen(  # noqa: S603 - our own program
        program, stdin=subprocess.PIPE, pass_fds=[outlet.fileno()], env=environment
    ) as launcher:
        outlet.close()
        try:
            if launcher.stdin is None:
                raise RuntimeError("the launcher has no standard input although one was asked for")
            pickle.dump(job, launcher.stdin)
            launcher.stdin.flush()  # and stays open: its end tells the launcher that this process is gone
            trained = _listen(inbox, on_progress)
        except BaseException:
            launcher.terminate()
            raise
        finally:
            inbox.close()
            _wait(launcher)
    if isinstance(trained, TrainingError):
        raise trained
    return trained


def _wait(launcher: "subprocess.Popen[bytes]") -> None:
    try:
        launcher.wait(_STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()


def _listen(inbox: Connection, on_progress: Callable[[Progress], None]) -> TrainedModel | TrainingError:
    """Pass on what the processes say until the last of them has closed the pipe, and return what they came to."""
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
        return failure
    return trained or LostProcessError("The processes of the training ended without a word: were they killed?")
