"""Split by query, then by time: the newest queries are the test side."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.snapshot import SNAPSHOT_SCHEMA, Split
from flows.settings import CleaningSettings
from flows.snapshot.errors import TooFewQueriesError


def split(table: pa.Table, settings: CleaningSettings) -> pa.Table:
    """Return `table` with the column `split`: "train", "validation" or "test", the same for all pairs of a query.

    A query's time is that of its newest pair, so every pair of the training side is at most as new as the newest
    pair of each test query. The newest `test_share` of queries is the test side, the newest `validation_share` of
    the rest the validation side, at least one query each (none where the share is 0). Equal times are ordered by
    query_id, which is a hash.

    Raises TooFewQueriesError when no query would be left for training.
    """
    times = table.group_by("query_id").aggregate([("created_at", "max")])
    times = times.sort_by([("created_at_max", "ascending"), ("query_id", "ascending")])
    total = times.num_rows
    test = _share(total, settings.test_share)
    validation = _share(total - test, settings.validation_share)
    train = total - test - validation
    if train < 1:
        raise TooFewQueriesError(
            f"{total} queries are too few for a training, a validation and a test side. Import more labelled pairs, "
            "or lower RERANKER_CLEANING__TEST_SHARE and RERANKER_CLEANING__VALIDATION_SHARE."
        )
    sides: list[Split] = ["train", "validation", "test"]
    side = pa.array(np.repeat(sides, [train, validation, test]), pa.string())
    position = pc.index_in(table["query_id"], value_set=times["query_id"].combine_chunks())
    return table.append_column("split", pc.take(side, position)).cast(SNAPSHOT_SCHEMA)


def _share(queries: int, share: float) -> int:
    return max(1, round(queries * share)) if share > 0 else 0
