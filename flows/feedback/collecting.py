"""The collection: read, join, store, remember."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import ValidationError

from flows.contracts.pair import PAIR_SCHEMA
from flows.feedback.lines import whole_lines
from flows.feedback.predictions import read_predictions
from flows.feedback.progress import Entry, Place, Progress
from flows.feedback.report import FeedbackReport
from flows.feedback.votes import Vote
from flows.ingest.checking import Pair, UnusableRow, pair_from
from flows.ingest.record import raw_json
from flows.store import LabelStore, QuarantinedRow

SOURCE = "feedback"
PATIENCE = timedelta(days=7)
"""A vote whose request is on no record after this time goes into quarantine."""
LEFT_AFTER = timedelta(days=1)
"""A file that nobody wrote for so long is left: the service starts a new one every hour."""


class _Recorded(NamedTuple):
    """A request that was voted on."""

    at: datetime
    query: str
    texts: Mapping[int, str]
    """Of those documents that were voted on, by index."""


def collect(folder: Path, progress: Path, store: LabelStore, now: datetime | None = None) -> FeedbackReport:
    """Make labelled pairs of the feedback in `folder` that is new since the last time.

    Args:
        folder: Of the service's setting RERANKER_SERVICE_PREDICTION_LOG; without it there is nothing to do.
        progress: The file that remembers how far this came.
        store: Where the pairs go, and into quarantine what cannot be one.
        now: Default: the present time.

    Raises:
        BrokenProgressError: the file of the progress cannot be read.
        StoreError: as the store does; nothing is lost, and the next collection takes it up.
    """
    now = now or datetime.now(UTC)
    before = Progress.load(progress)
    if not folder.is_dir() and not before.waiting:
        return FeedbackReport()
    files = sorted(folder.glob("feedback-*.jsonl"))
    places = {path.name: before.files.get(path.name, Place()).model_copy() for path in files}
    fresh, unusable = _read(files, places)
    read = len(fresh) + len(unusable)

    waiting: list[Entry] = []
    pairs: list[Pair] = []
    entries = [*before.waiting, *fresh]
    recorded = _recorded(folder, entries)
    for entry in entries:
        try:
            fields = _fields(entry.vote, recorded, now)
            if fields is None:
                waiting.append(entry)
            else:
                pairs.append(pair_from(fields, SOURCE, now))
        except UnusableRow as fault:
            raw = raw_json(entry.vote.model_dump(mode="json", exclude_none=True))
            unusable.append(QuarantinedRow(entry.origin, entry.position, str(fault), raw))

    store.quarantine(unusable)
    counts = store.append(pa.Table.from_pylist([pair._asdict() for pair in pairs], schema=PAIR_SCHEMA))
    Progress(files=places, waiting=waiting).save(progress)
    return FeedbackReport(
        read=read,
        waited=len(before.waiting),
        kept=counts.kept,
        merged=counts.merged,
        quarantined=len(unusable),
        waiting=len(waiting),
        torn=_remove_left(files, places, now),
        reasons=Counter(row.reason for row in unusable),
    )


def _read(files: Iterable[Path], places: Mapping[str, Place]) -> tuple[list[Entry], list[QuarantinedRow]]:
    """Return the new votes, and the lines that are none; moves `places` on."""
    entries: list[Entry] = []
    unusable: list[QuarantinedRow] = []
    for path in files:
        place = places[path.name]
        for line in whole_lines(path, place.bytes):
            place.bytes = line.end
            place.lines += 1
            try:
                vote = Vote.model_validate_json(line.content)
            except ValidationError:
                raw = raw_json(line.content.decode("utf-8", "surrogateescape"))
                unusable.append(QuarantinedRow(path.name, place.lines, "the line is no feedback", raw))
            else:
                entries.append(Entry(origin=path.name, position=place.lines, vote=vote))
    return entries, unusable


def _recorded(folder: Path, entries: Iterable[Entry]) -> Mapping[str, list[_Recorded]]:
    """Return the requests that votes without texts speak of, by id; a client may have used an id more than once."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        if entry.vote.query is None:
            wanted[entry.vote.request_id].add(entry.vote.index)
    found: dict[str, list[_Recorded]] = defaultdict(list)
    if not wanted:
        return found
    for prediction in read_predictions(folder, request_ids=wanted):
        documents = prediction.documents
        texts = {at: documents[at].text for at in wanted[prediction.request_id] if at < len(documents)}
        found[prediction.request_id].append(_Recorded(prediction.at, prediction.query, texts))
    return found


def _fields(
    vote: Vote, recorded: Mapping[str, list[_Recorded]], now: datetime
) -> dict[str, str | int | datetime | None] | None:
    """Return the fields of the pair, None while its request is on no record; UnusableRow says why there is none."""
    if vote.query is not None and vote.document is not None:
        return vote.pair(vote.query, vote.document)
    earlier = [request for request in recorded.get(vote.request_id, []) if request.at <= vote.time]
    if not earlier:
        if now - vote.time > PATIENCE:
            raise UnusableRow(f"its request is on no record after {PATIENCE.days} days")
        return None
    request = max(earlier, key=lambda request: request.at)
    if vote.index not in request.texts:
        raise UnusableRow("its index is beyond the documents of the request")
    return vote.pair(request.query, request.texts[vote.index])


def _remove_left(files: Iterable[Path], places: Mapping[str, Place], now: datetime) -> int:
    """Remove the files that were read and are not written any more; return how many ended in a torn line."""
    torn = 0
    for path in files:
        try:
            there = path.stat()
        except FileNotFoundError:
            continue
        if now - datetime.fromtimestamp(there.st_mtime, UTC) > LEFT_AFTER:
            torn += there.st_size > places[path.name].bytes
            path.unlink(missing_ok=True)
    return torn
