"""The part `memory`: a few steps over a million pairs, in a process that does nothing else.

    python -m tests.benchmarks.training.memory SNAPSHOT MODEL LOSS STEPS

prints what it took as JSON.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.settings import CleaningSettings, TrainingSettings
from flows.snapshot import freeze
from tests.benchmarks.drift.scale import write

LIMIT_GB = 4.0
TIMEOUT_SECONDS = 3600
KILO = 1024
CLEANING = CleaningSettings(positive_share=0.01)
"""No negative is left out, so that a million pairs stay a million."""


def prepare(work: Path, pairs: int) -> Path:
    """Freeze made-up pairs of natural length: queries of about 10 words, documents of about 60, by Zipf's law."""
    write(work / "pairs.parquet", pairs, seed=0)
    frozen = freeze(_batches(work / "pairs.parquet"), CLEANING, work / "snapshots", {}, now=datetime.now(UTC))
    (work / "pairs.parquet").unlink()
    return frozen.snapshot.folder


def measure(snapshot: Path, loss: str, steps: int) -> dict[str, Any]:
    """Train a tiny model for `steps` steps in a process of its own, and return what that says."""
    from tests.bento.tiny_model import save_trained

    with tempfile.TemporaryDirectory(prefix="memory-") as work:
        save_trained(Path(work) / "model")
        program = [sys.executable, "-m", "tests.benchmarks.training.memory"]
        command = [*program, str(snapshot), str(Path(work) / "model"), loss, str(steps)]
        result = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT_SECONDS, check=True)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    for batch in pq.ParquetFile(path).iter_batches():
        columns = [
            batch[field.name] if field.name in batch.schema.names else pa.nulls(len(batch), field.type)
            for field in PAIR_SCHEMA
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=PAIR_SCHEMA)


def _peak() -> float:
    """Return this program's own peak; getrusage's would begin with that of the process that started it."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * KILO / 1e9


class _Enough(Exception):
    """So many steps were asked for."""


def main() -> None:
    """Train, and print the peak of resident memory before the libraries, with them, and in the end."""
    folder, model, loss, steps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    from sentence_transformers.cross_encoder import CrossEncoderTrainer  # noqa: F401 - what the libraries alone take

    from flows.training import Progress, train

    libraries = _peak()
    snapshot, begun, first_step = Snapshot(folder), time.perf_counter(), 0.0

    def on_progress(progress: Progress) -> None:
        nonlocal first_step
        first_step = first_step or time.perf_counter() - begun
        if progress.step == steps:
            raise _Enough

    settings = TrainingSettings(loss=loss, max_length=48, validations=1)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="memory-") as work, suppress(_Enough):
        train(snapshot, settings, model, Path(work) / "trained", on_progress)
    found = {
        "loss": loss,
        "pairs": sum(side.pairs for side in snapshot.manifest.splits.values()),
        "steps": steps,
        "peak_gb": _peak(),
        "libraries_gb": libraries,
        "first_step_s": first_step,
        "total_s": time.perf_counter() - begun,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
