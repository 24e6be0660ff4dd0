"""BEIR folders: corpus.jsonl, queries.jsonl and judgements in qrels/*.tsv (Thakur et al., BEIR, NeurIPS 2021)."""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from flows.ingest.failure import ImportFailed
from flows.ingest.jsonl import json_objects
from flows.ingest.record import Record
from flows.ingest.separated import table_rows

_HEADER = ["query-id", "corpus-id", "score"]


def is_beir(folder: Path) -> bool:
    """Say whether `folder` holds a BEIR data set."""
    return (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file()


def beir_records(folder: Path) -> Iterator[Record]:
    """Yield one row for each judgement of every file in qrels, and the lines of corpus and queries that are unusable.

    A document's text is its title and its text, as BEIR's own loader joins them. The texts are looked up in a
    temporary SQLite database, which spills to disk: a corpus need not fit in memory.
    """
    judgements = sorted((folder / "qrels").glob("*.tsv"))
    if not judgements:
        raise ImportFailed(f"{folder} has no judgements: a BEIR folder keeps them in qrels/*.tsv")
    for path in judgements:
        _check_header(path)
    with closing(sqlite3.connect("")) as texts:
        texts.executescript("PRAGMA journal_mode = OFF; PRAGMA cache_size = -65536")
        texts.execute("CREATE TABLE texts (side TEXT, id TEXT, text TEXT, PRIMARY KEY (side, id)) WITHOUT ROWID")
        yield from _load(texts, "query", folder / "queries.jsonl")
        yield from _load(texts, "document", folder / "corpus.jsonl")
        for path in judgements:
            yield from _judged(texts, path)


def _check_header(path: Path) -> None:
    _, header, _ = next(table_rows(path, "\t"), (0, None, ""))
    if header != _HEADER:
        raise ImportFailed(f"the first line of {path} must be {', '.join(_HEADER)}, with tabs between")


def _load(texts: sqlite3.Connection, side: str, path: Path) -> Iterator[Record]:
    """Fill the lookup; what cannot be looked up later is yielded as unusable."""
    for line, found, text in json_objects(path):
        fault = None
        if isinstance(found, str):
            fault = found
        elif not isinstance(found.get("_id"), str | int) or not isinstance(found.get("text"), str):
            fault = "_id or text is missing, or is not text"
        else:
            name, whole = str(found["_id"]), f"{found.get('title') or ''} {found['text']}".strip()
            try:
                added = texts.execute("INSERT OR IGNORE INTO texts VALUES (?, ?, ?)", (side, name, whole))
            except UnicodeEncodeError:
                fault = f"the {side} is not valid UTF-8"
            else:
                if not added.rowcount and _text(texts, side, name) != whole:
                    fault = f"another {side} has the same _id"
        if fault:
            yield Record(line, {}, text, str(path), fault)


def _judged(texts: sqlite3.Connection, path: Path) -> Iterator[Record]:
    rows = table_rows(path, "\t")
    next(rows)  # the header
    for line, cells, text in rows:
        if cells is None or len(cells) != len(_HEADER):
            yield Record(line, {}, text, str(path), "the row is not query-id, corpus-id, score")
            continue
        query_id, document_id, written = cells
        query, document, score = (
            _text(texts, "query", query_id),
            _text(texts, "document", document_id),
            _score(written),
        )
        fault = None
        if query is None:
            fault = "the judgement names a query that queries.jsonl does not have"
        elif document is None:
            fault = "the judgement names a document that corpus.jsonl does not have"
        elif score is None:
            fault = "score is not a number"
        if fault or score is None:
            yield Record(line, {}, dict(zip(_HEADER, cells, strict=True)), str(path), fault)
            continue
        grade = score if score in (0, 1, 2, 3) else None
        values = {"query": query, "document": document, "relevance": int(score > 0), "grade": grade}
        yield Record(line, values, {**dict(zip(_HEADER, cells, strict=True)), **values}, str(path))


def _text(texts: sqlite3.Connection, side: str, name: str) -> str | None:
    try:
        found = texts.execute("SELECT text FROM texts WHERE side = ? AND id = ?", (side, name)).fetchone()
    except UnicodeEncodeError:  # an id that is not UTF-8 is nobody's
        return None
    return None if found is None else str(found[0])


def _score(written: str) -> float | None:
    try:
        score = float(written)
    except ValueError:
        return None
    return score if math.isfinite(score) else None
