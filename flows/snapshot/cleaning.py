"""From the pairs of a store to those a ranker can learn from and be measured on."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.pair import PAIR_SCHEMA, text_id, text_ids
from flows.contracts.snapshot import DROP_REASONS, SNAPSHOT_SCHEMA, CleaningCounts, DropReason
from flows.settings import CleaningSettings
from flows.snapshot.errors import InvalidPairsError, NoPairsError

CLEANED_SCHEMA = SNAPSHOT_SCHEMA.remove(SNAPSHOT_SCHEMA.get_field_index("split"))

_CLOCK_SKEW = timedelta(minutes=5)  # a pair written this moment by a host whose clock is ahead is not from the future
_BLANK = text_id("")
_BLOCK = 100_000  # rows of a chunk of the cleaned table, which keeps 32-bit string offsets from overflowing

# Arrow joins chunks to reorder rows, and more than 2 GB of text in one array needs 64-bit offsets.
_LARGE_SCHEMA = pa.schema([f.with_type(pa.large_string()) if f.type == pa.string() else f for f in CLEANED_SCHEMA])

# Newest first within a pair. Equal dates: the positive, then the higher grade; then any fixed order over content,
# so that the order of rows in the store decides nothing.
_SORT_KEYS = [
    ("query_id", "ascending"),
    ("document_id", "ascending"),
    ("created_at", "descending"),
    ("relevance", "descending"),
    ("grade", "descending"),
    *((column, "ascending") for column in ("source", "subject_id", "query", "document")),
]

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CleanedPairs:
    """The pairs that are left (`CLEANED_SCHEMA`, sorted by query_id and document_id), and what became of the rest."""

    table: pa.Table
    counts: CleaningCounts


def clean(
    batches: Iterable[pa.RecordBatch],
    settings: CleaningSettings,
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
) -> CleanedPairs:
    """Return the pairs of `batches` (PAIR_SCHEMA) without those that `DROP_REASONS` names, and the counts.

    Two pairs are the same when their texts are equal after `normalise`; the newest of them stays. Every query
    that stays has a positive and a negative, and all its pairs carry the spelling of its newest one. The result
    does not depend on the order of the rows. `progress` is told how many pairs have been read.

    Raises NoPairsError for no input or none left, InvalidPairsError when a column is missing or has another type.
    """
    latest = (now or datetime.now(UTC)) + _CLOCK_SKEW
    dropped: Counter[DropReason] = Counter()
    parts: list[pa.Table] = []
    read = 0
    for batch in batches:
        table = _identify(batch)
        read += table.num_rows
        parts.append(_without(table, _row_checks(table, settings, latest), dropped))
        if progress is not None:
            progress(read)
    if read == 0:
        raise NoPairsError("There are no labelled pairs in the store. Import some, then run again.")

    table = pa.concat_tables(parts)
    order = _drop_repeats(table, dropped)
    order, spelling, dropped_queries = _drop_queries(table, order, settings, dropped)
    if len(order) == 0:
        raise NoPairsError(
            f"Cleaning left none of {read} pairs: {_in_words(_in_order(dropped))}. Correct the data and import again."
        )
    return CleanedPairs(
        table=_reorder(table, order, spelling),
        counts=CleaningCounts(
            read=read, kept=len(order), dropped=_in_order(dropped), dropped_queries=dropped_queries
        ),
    )


def _identify(batch: pa.RecordBatch) -> pa.Table:
    missing = [name for name in PAIR_SCHEMA.names if name not in batch.schema.names]
    if missing:
        raise InvalidPairsError(f"The pairs lack {', '.join(missing)}: they need {', '.join(PAIR_SCHEMA.names)}.")
    columns = {}
    for field in PAIR_SCHEMA:
        try:
            columns[field.name] = batch.column(field.name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            found = batch.schema.field(field.name).type
            raise InvalidPairsError(
                f"Column {field.name} must be {field.type}, and not every {found} of it is."
            ) from error
    columns["query_id"] = text_ids(columns["query"])
    columns["document_id"] = text_ids(columns["document"])
    return pa.table(columns).select(_LARGE_SCHEMA.names).cast(_nullable(_LARGE_SCHEMA))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])  # until the checks have found the nulls


def _row_checks(
    table: pa.Table, settings: CleaningSettings, latest: datetime
) -> Mapping[DropReason, pa.ChunkedArray]:
    """Return for each reason a mask of the rows it concerns; null counts as false."""
    grade_outside = pc.or_(pc.less(table["grade"], 0), pc.greater(table["grade"], 3))
    valid_label = pc.is_in(table["relevance"], value_set=pa.array([0, 1], pa.int8()))
    return {
        "missing_value": pc.or_(pc.is_null(table["source"]), pc.is_null(table["created_at"])),
        "invalid_label": pc.or_(pc.invert(valid_label), pc.fill_null(grade_outside, False)),
        "blank_text": pc.or_(_is_blank(table["query_id"]), _is_blank(table["document_id"])),
        "query_too_long": pc.greater(pc.utf8_length(table["query"]), settings.max_query_characters),
        "document_too_long": pc.greater(pc.utf8_length(table["document"]), settings.max_document_characters),
        "future_date": pc.greater(table["created_at"], pa.scalar(latest, table.schema.field("created_at").type)),
    }


def _is_blank(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(ids, _BLANK), True)


def _without(table: pa.Table, checks: Mapping[DropReason, pa.ChunkedArray], dropped: Counter[DropReason]) -> pa.Table:
    keep = np.ones(table.num_rows, dtype=bool)
    for reason, mask in checks.items():
        concerned = keep & pc.fill_null(mask, False).to_numpy()
        _count(dropped, reason, concerned)
        keep &= ~concerned
    return table.filter(pa.array(keep))


def _count(dropped: Counter[DropReason], reason: DropReason, mask: _Mask) -> None:
    if number := int(mask.sum()):
        dropped[reason] += number


def _drop_repeats(table: pa.Table, dropped: Counter[DropReason]) -> npt.NDArray[np.int64]:
    """Return the indices of the newest row of each pair, in the order of `_SORT_KEYS`."""
    order = np.asarray(pc.sort_indices(table, sort_keys=_SORT_KEYS), dtype=np.int64)
    pairs = table.select(["query_id", "document_id"]).take(order)
    first = _starts(pairs["query_id"]) | _starts(pairs["document_id"])
    label = table["relevance"].to_numpy()[order]
    newest_label = np.repeat(label[first], _sizes(first))
    _count(dropped, "duplicate", ~first & (label == newest_label))
    _count(dropped, "conflict", label != newest_label)
    return order[first]


def _drop_queries(
    table: pa.Table, order: npt.NDArray[np.int64], settings: CleaningSettings, dropped: Counter[DropReason]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Mapping[DropReason, int]]:
    """Return the rows of queries that can be ranked, for each the row that spells its query, and dropped queries."""
    first = _starts(table["query_id"].take(order))
    sizes = _sizes(first)
    starts = np.flatnonzero(first)
    if len(order) == 0:
        return order, order, {}
    positives = np.add.reduceat(table["relevance"].to_numpy()[order].astype(np.int64), starts)
    query = np.repeat(np.arange(len(sizes)), sizes)
    newest = np.lexsort((-table["created_at"].cast(pa.int64()).to_numpy()[order], query))[starts]
    spelling = np.repeat(order[newest], sizes)

    checks: dict[DropReason, _Mask] = {
        "too_few_candidates": sizes < settings.min_candidates,
        "no_positive": positives == 0,
        "no_negative": positives == sizes,
    }
    keep = np.ones(len(sizes), dtype=bool)
    queries: Counter[DropReason] = Counter()
    for reason, mask in checks.items():
        _count(queries, reason, keep & mask)
        _count(dropped, reason, np.repeat(keep & mask, sizes))
        keep &= ~mask
    rows = np.repeat(keep, sizes)
    return order[rows], spelling[rows], queries


def _starts(column: pa.ChunkedArray) -> _Mask:
    """Return where a value differs from the one before it, as at the first row."""
    values = column.combine_chunks()
    if len(values) == 0:
        return np.zeros(0, dtype=bool)
    changed = pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([[True], changed])


def _sizes(starts: _Mask) -> npt.NDArray[np.int64]:
    return np.diff(np.append(np.flatnonzero(starts), len(starts)))


def _reorder(table: pa.Table, order: npt.NDArray[np.int64], spelling: npt.NDArray[np.int64]) -> pa.Table:
    """Return the rows `order` of `table`, with the query's text from the rows `spelling`."""
    table = table.combine_chunks()
    blocks = []
    for start in range(0, len(order), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = table.take(order[rows])
        query = table["query"].take(spelling[rows])
        block = block.set_column(block.schema.get_field_index("query"), "query", query)
        blocks.append(block.cast(CLEANED_SCHEMA))
    return pa.concat_tables(blocks)


def _in_order(dropped: Mapping[DropReason, int]) -> Mapping[DropReason, int]:
    return {reason: dropped[reason] for reason in DROP_REASONS if reason in dropped}


def _in_words(dropped: Mapping[DropReason, int]) -> str:
    return "; ".join(f"{number}: {DROP_REASONS[reason]}" for reason, number in dropped.items())
