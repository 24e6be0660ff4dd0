"""The rows of a training, made when they are due: what lies in memory is Arrow's text, and numbers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Row = dict[str, Any]
MakeRow = Callable[[str, list[str], list[float]], Row]
"""From a query, its documents and their labels to what a loss takes."""


class Rows(Sequence[Row]):
    """Each row is a query with some documents and a label for each; a million pairs take their text and 12 MB."""

    def __init__(
        self,
        table: pa.Table,
        members: npt.NDArray[np.int32],
        labels: npt.NDArray[np.float32],
        starts: npt.NDArray[np.int64],
        make: MakeRow,
    ) -> None:
        """Take the rows as positions in `table`.

        Args:
            table: Pairs with the columns `query` and `document`.
            members: Positions of the rows' documents, row after row, shape (pairs,); the first names the query.
            labels: Of the members, shape (pairs,).
            starts: Where each row begins in `members`, shape (rows,).
            make: Gives a row its shape.
        """
        self._queries, self._documents = table["query"], table["document"]
        self._members, self._labels = members, labels
        self._starts, self._ends = starts, np.append(starts[1:], len(members))
        self._make = make

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        within = slice(self._starts[index], self._ends[index])
        members = self._members[within].tolist()
        documents = [self._documents[i].as_py() for i in members]
        return self._make(self._queries[members[0]].as_py(), documents, self._labels[within].tolist())

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))

    @property
    def pairs(self) -> int:
        """How many query-document pairs the rows hold, counted as often as they are there."""
        return len(self._members)

    @property
    def relevant(self) -> int:
        """How many of them have a label above zero."""
        return int((self._labels > 0).sum())

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the characters of the longest query-document pair of each row, shape (rows,)."""
        queries = pc.utf8_length(self._queries).to_numpy()[self._members[self._starts]]
        documents = pc.utf8_length(self._documents).to_numpy()[self._members]
        longest: npt.NDArray[np.int64] = queries.astype(np.int64) + np.maximum.reduceat(documents, self._starts)
        return longest
