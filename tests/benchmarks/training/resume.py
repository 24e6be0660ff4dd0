"""The part `resume`: trainings that are killed at a random moment and started again, beside unbroken ones.

    python -m tests.benchmarks.training.resume SNAPSHOT FOLDER EPOCHS SEED

trains into FOLDER, or goes on from the checkpoints there, prints the steps as they pass, and in the end the result as
JSON.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.settings import TrainingSettings
from flows.training import CrossEncoderScorer, LocalCheckpoints, Progress, train

CHECKPOINT_MINUTES = 0.1
SEED = 13


def measure(snapshot: Snapshot, work: Path, epochs: float, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a line for each round: what an unbroken and a killed training came to."""
    rng = np.random.default_rng(SEED)
    for seed in range(1, rounds + 1):
        unbroken = _train(snapshot, work / f"unbroken-{seed}", epochs, seed)
        at = float(rng.uniform(0.15, 0.85) * unbroken["seconds"])
        killed = _train(snapshot, work / f"killed-{seed}", epochs, seed, kill_after=at)
        sides = [_judge(snapshot, run["folder"]) for run in (unbroken, killed)]
        line = {
            "seed": seed,
            "killed_at_s": at,
            "steps": unbroken["steps"],
            "steps_killed": killed["steps"],
            "seconds": unbroken["seconds"],
            "seconds_killed": killed["seconds"],
            "ndcg": float(sides[0].mean()),
            "ndcg_killed": float(sides[1].mean()),
            "same_weights": unbroken["digest"] == killed["digest"],
        }
        print(f"resume: {line}", file=sys.stderr, flush=True)
        yield line


def _train(
    snapshot: Snapshot, folder: Path, epochs: float, seed: int, kill_after: float | None = None
) -> dict[str, Any]:
    """Train in a process of its own; it has `kill_after` seconds from its first step on, and then another goes on."""
    program = [sys.executable, "-m", "tests.benchmarks.training.resume"]
    command = [*program, str(snapshot.folder), str(folder), str(epochs), str(seed)]
    if kill_after is not None:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(kill_after)
            process.kill()
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"The training ended with {process.returncode} before it could be killed.")
        print(f"resume: killed after {kill_after:.0f} s", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _judge(snapshot: Snapshot, folder: str) -> "pd.Series[float]":
    return evaluate(snapshot.table("test"), CrossEncoderScorer(Path(folder))).per_query["ndcg@10"]


def main() -> None:
    """Train, or go on."""
    snapshot, folder, epochs, seed = Snapshot(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    settings = TrainingSettings(
        max_length=96, epochs=float(epochs), max_minutes=1_000, seed=seed, checkpoint_minutes=CHECKPOINT_MINUTES
    )

    def show(progress: Progress) -> None:
        print(progress.step, flush=True)

    checkpoints = LocalCheckpoints(folder / "checkpoints")
    made = train(snapshot, settings, settings.base_model, folder / "model", show, checkpoints)
    found = {"folder": str(made.folder), "steps": made.steps, "seconds": made.seconds, "digest": made.digest}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
