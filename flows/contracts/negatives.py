"""Documents that a query's relevant ones are to be ranked above."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

NegativeKind = Literal["labelled", "mined", "random"]

_shared = pa.dictionary(pa.int32(), pa.string())  # a text is held once, however many rows name it

NEGATIVES_SCHEMA = pa.schema(
    [
        pa.field("query_id", _shared, nullable=False),
        pa.field("query", _shared, nullable=False),
        pa.field("document_id", _shared, nullable=False),
        pa.field("document", _shared, nullable=False),
        pa.field("kind", _shared, nullable=False),  # NegativeKind
        pa.field("similarity", pa.float32(), nullable=False),  # the retriever's score of the pair
    ]
)
"""In order of query_id; of a query first the labelled ones by document_id, then the mined ones from the most similar
on, then the random ones. No pair of query_id and document_id occurs twice."""


def is_whole(file: Path) -> bool:
    """Whether `file` is there and is Parquet of these columns, down to its end."""
    try:
        return bool(pq.read_schema(file).equals(NEGATIVES_SCHEMA))
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
