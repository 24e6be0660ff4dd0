"""Rows that are made when they are due, and each process's share of their batches."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.contracts.snapshot import SNAPSHOT_SCHEMA
from flows.settings import TrainingSettings
from flows.training import loading
from flows.training.batches import LengthGroupedBatchSampler
from flows.training.examples import training_rows
from flows.training.loading import Share

LABELS = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=8).filter(
    lambda queries: any(map(any, queries))
)


def table(labels: list[list[bool]], chunk: int = 5) -> pa.Table:
    """One query for each inner list; its documents say whether they are relevant. Out of order and in chunks."""
    rows = [
        {
            "query_id": f"q{q:02}",
            "document_id": f"q{q:02}d{d}",
            "query": f"query {q}" + "?" * q,
            "document": f"document {d} of {q} is {'good' if relevant else 'bad'}" + "." * d,
            "relevance": int(relevant),
            "grade": None,
        }
        for q, documents in enumerate(labels)
        for d, relevant in enumerate(documents)
    ][::-1]
    whole = pa.Table.from_pylist(rows, pa.schema([SNAPSHOT_SCHEMA.field(name) for name in rows[0]]))
    return pa.concat_tables([whole.slice(start, chunk) for start in range(0, len(rows), chunk)])


@given(LABELS)
def test_a_pair_is_a_row_with_its_own_label(labels: list[list[bool]]) -> None:
    rows = training_rows(table(labels), TrainingSettings(loss="bce"))

    assert sorted(row["document"] for row in rows) == sorted(table(labels)["document"].to_pylist())
    assert all(("is good" in row["document"]) == row["label"] for row in rows)
    assert rows.relevant == sum(map(sum, labels))
    assert rows.pairs == len(rows) == sum(map(len, labels))


@given(LABELS, st.sampled_from(["listwise", "bce"]))
def test_lengths_are_those_of_the_longest_pair(labels: list[list[bool]], loss: str) -> None:
    rows = training_rows(table(labels), TrainingSettings(loss=loss))  # type: ignore[arg-type]

    documents = [row.get("documents") or [row["document"]] for row in rows]
    expected = [len(row["query"]) + max(map(len, texts)) for row, texts in zip(rows, documents, strict=True)]
    assert rows.lengths().tolist() == expected


@given(count=st.integers(1, 60), size=st.integers(2, 9), processes=st.integers(1, 4), epoch=st.integers(0, 3))
def test_processes_share_every_row_and_have_as_many_batches_each(
    count: int, size: int, processes: int, epoch: int
) -> None:
    class Lengths:
        def __len__(self) -> int:
            return count

        def lengths(self) -> np.ndarray:
            return np.arange(count)

    shares = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "ranks", lambda: processes)
        for number in range(processes):
            patch.setattr(loading, "rank", lambda number=number: number)
            share = Share(LengthGroupedBatchSampler(Lengths(), size, drop_last=False))
            share.set_epoch(epoch)
            shares.append(list(share))
            assert len(shares[-1]) == len(share)

    whole = -(-count // size)
    assert len({len(share) for share in shares}) == 1
    assert {row for share in shares for batch in share for row in batch} == set(range(count))
    assert sum(map(len, shares)) - whole < processes
