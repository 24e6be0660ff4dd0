"""How fast a million pairs stream into and out of each store, and in how much memory.

    python -m tests.benchmarks.store [--rows 1000000] [--supabase-rows 200000] [--json FILE]

Each measurement runs in a process of its own, whose peak resident memory is reported. Supabase is the loopback server
of the tests, in a further process whose memory does not count: the speed is that of this project's side and of one
loopback server on SQLite, not of Supabase. Exit status 1 when a measurement loses a row or takes 1 GB.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from flows.contracts.pair import PAIR_SCHEMA
from flows.ingest import import_pairs
from flows.settings import StoreSettings
from flows.store import open_store

LIMIT_MB = 1_000
BATCH_ROWS = 5_000
TEXT = "ranking passages by relevance needs labelled pairs whose texts are neither short nor long for this measure"
START = datetime(2026, 1, 1, tzinfo=UTC)


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield pairs of about 60 and 420 characters, ten documents for each query."""
    for first in range(0, rows, BATCH_ROWS):
        numbers = range(first, min(first + BATCH_ROWS, rows))
        columns = [
            [f"{n // 10} {TEXT[:60]}" for n in numbers],
            [f"{n} {TEXT * 4}" for n in numbers],
            [int(n % 10 == 0) for n in numbers],
            ["benchmark"] * len(numbers),
            [START + timedelta(seconds=n) for n in numbers],
            [None] * len(numbers),
            [None] * len(numbers),
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, PAIR_SCHEMA, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=PAIR_SCHEMA)


def append(settings: StoreSettings, folder: Path, rows: int) -> int:
    """Return how many of `rows` pairs were new to the store."""
    with open_store(settings, folder / "labels.db") as store:
        return sum(store.append(batch).kept for batch in batches(rows))


def scan(settings: StoreSettings, folder: Path, rows: int) -> int:
    """Return how many pairs a scan yields."""
    with open_store(settings, folder / "labels.db") as store:
        return sum(batch.num_rows for batch in store.scan())


def import_csv(settings: StoreSettings, folder: Path, rows: int) -> int:
    """Return how many rows of a CSV file were new to the store."""
    with open_store(settings, folder / "imported.db") as store:
        return import_pairs(folder / "pairs.csv", store).kept


def write_csv(folder: Path, rows: int) -> None:
    """Write the file that `import_csv` reads."""
    with pyarrow.csv.CSVWriter(folder / "pairs.csv", PAIR_SCHEMA) as file:
        for batch in batches(rows):
            file.write_batch(batch)


def serve(said: Connection) -> None:
    """Run the loopback server until the other end speaks."""
    from tests.flows.store.databases import SqliteDatabase
    from tests.flows.store.postgrest import loopback

    with loopback(SqliteDatabase()) as server:
        said.send(server.url)
        said.recv()


def measured(
    work: Callable[[StoreSettings, Path, int], int], settings: StoreSettings, folder: Path, rows: int
) -> dict[str, float]:
    """Run `work` and return rows, seconds and this process's peak memory."""
    before = time.perf_counter()
    found = work(settings, folder, rows)
    seconds = time.perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "rows": found,
        "seconds": round(seconds, 2),
        "rows_per_second": round(found / seconds),
        "peak_mb": peak // 10**6,
    }


def main() -> int:
    """Measure, print a table and JSON."""
    from tests.flows.store.postgrest import SERVICE_KEY

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--supabase-rows", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=serve, args=(there,))
    server.start()
    sqlite = StoreSettings()
    supabase = StoreSettings(kind="supabase", supabase_url=here.recv(), supabase_key=SecretStr(SERVICE_KEY))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder, asked.rows)
        for settings, work, rows in (
            (sqlite, append, asked.rows),
            (sqlite, scan, asked.rows),
            (sqlite, import_csv, asked.rows),
            (supabase, append, asked.supabase_rows),
            (supabase, scan, asked.supabase_rows),
        ):
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                result = pool.submit(measured, work, settings, folder, rows).result()
            results.append({"store": settings.kind, "work": work.__name__, "expected": rows, **result})
    here.send("stop")
    server.join()

    table = Table("store", "work", "rows", "seconds", "rows/s", "peak MB")
    for row in results:
        cells = (f"{row[name]:,}" for name in ("rows", "seconds", "rows_per_second", "peak_mb"))
        table.add_row(str(row["store"]), str(row["work"]), *cells)
    Console().print(table)
    text = json.dumps(results, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text)
    return int(any(row["rows"] != row["expected"] or row["peak_mb"] >= LIMIT_MB for row in results))


if __name__ == "__main__":
    sys.exit(main())
