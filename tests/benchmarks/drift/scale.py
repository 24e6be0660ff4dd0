"""The part `scale`: a million rows against a million, in a process that does nothing else.

    python -m tests.benchmarks.drift.scale REFERENCE.parquet WINDOW.parquet

prints what it took as JSON.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DOCUMENTS = 10
"""Of a query."""
QUERY_WORDS, DOCUMENT_WORDS = 10, 60
VOCABULARY = 50_000
SOURCES = 20
CHUNK = 100_000
"""Rows that are made and written at once."""
LETTERS = "etaoinsrhdlucmfywgpbvkxqjz"
START = np.datetime64("2025-01-01", "us")
SPACING = np.timedelta64(1, "s")
TIMEOUT_SECONDS = 1800
KILO = 1024


def write(path: Path, rows: int, seed: int) -> None:
    """Write made-up pairs (PAIR_SCHEMA's first columns): words by Zipf's law, one source and date a query."""
    rng = np.random.default_rng(seed)
    words = pa.array(_words())
    sources = pa.array([f"source {number}" for number in range(SOURCES)])
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for first in range(0, rows, CHUNK):
            count = min(CHUNK, rows - first)
            query = np.arange(count) // DOCUMENTS
            queries = int(query[-1]) + 1
            asked = _texts(words, queries, QUERY_WORDS, rng).take(pa.array(query))
            documents = _texts(words, count, DOCUMENT_WORDS, rng)
            relevant = (np.arange(count) % DOCUMENTS < 1 + rng.integers(0, 3, queries)[query]).astype(np.int8)
            dates = START + SPACING * (first // DOCUMENTS + query)
            columns = [
                asked,
                documents,
                pa.array(relevant),
                sources.take(pa.array(rng.integers(0, SOURCES, queries)[query])),
                pa.array(dates).cast(_SCHEMA.field("created_at").type),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))


_SCHEMA = pa.schema(
    [
        ("query", pa.string()),
        ("document", pa.string()),
        ("relevance", pa.int8()),
        ("source", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)


def _words() -> list[str]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 11, 2 * VOCABULARY)
    made = dict.fromkeys("".join(rng.choice(list(LETTERS), length)) for length in lengths)
    return list(made)[:VOCABULARY]


def _texts(words: pa.Array, count: int, length: int, rng: np.random.Generator) -> pa.Array:
    """Return `count` texts of about `length` words; their lengths spread as Poisson's."""
    bounds = np.concatenate([[0], np.cumsum(np.maximum(1, rng.poisson(length, count)))])
    # Zipf's law with exponent 1, cut at the vocabulary's size: the inverse of a cumulative sum that grows as log.
    ranks = np.minimum(np.exp(rng.random(bounds[-1]) * np.log(len(words))), len(words) - 1).astype(np.int64)
    lists = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), words.take(pa.array(ranks)))
    return pc.binary_join(lists, " ")


def measure(work: Path, rows: int, processors: int) -> dict[str, Any]:
    """Write two sides of `rows` rows, judge one by the other in a process of its own, and return what it says."""
    sides = [work / "reference.parquet", work / "window.parquet"]
    for seed, path in enumerate(sides):
        print(f"scale: writing {rows:,} rows", file=sys.stderr, flush=True)
        write(path, rows, seed)
    held = sorted(os.sched_getaffinity(0))[:processors]
    command = [sys.executable, "-m", "tests.benchmarks.drift.scale", *map(str, sides)]
    print("scale: judging", file=sys.stderr, flush=True)
    result = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_SECONDS,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, held),
    )
    for path in sides:
        path.unlink()
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1]) | {"processors": len(held)}
    return found


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILO / 1e9


def main() -> None:
    """Fit, judge, and print seconds, gigabytes and rows compared."""
    reference, window = map(Path, sys.argv[1:])
    start = time.perf_counter()
    from tests.benchmarks.drift.watch import SETTINGS, Watch

    table = pq.read_table(reference)
    read = time.perf_counter()
    watch = Watch(table, None)
    del table
    fitted, fitted_peak = time.perf_counter(), _peak()
    report = watch.judge(pq.read_table(window), SETTINGS.false_alarm_rate)
    found = {
        "load_s": read - start,
        "fit_s": fitted - read,
        "judge_s": time.perf_counter() - fitted,
        "total_s": time.perf_counter() - start,
        "fit_peak_gb": fitted_peak,
        "peak_gb": _peak(),
        "reference_rows": report.reference.rows,
        "reference_compared": report.reference.compared_rows,
        "window_rows": report.current.rows,
        "window_compared": report.current.compared_rows,
        "verdict": report.verdict,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
