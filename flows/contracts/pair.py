"""The labelled query-document pair, as a row and as an Arrow table."""

import hashlib
import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

PAIR_SCHEMA = pa.schema(
    [
        pa.field("query", pa.string(), nullable=False),
        pa.field("document", pa.string(), nullable=False),
        pa.field("relevance", pa.int8(), nullable=False),  # 0 or 1
        pa.field("source", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("grade", pa.int8()),  # 0..3, where people graded; null elsewhere
        pa.field("subject_id", pa.string()),  # whose text it is, for export and removal
    ]
)
"""Columns of labelled pairs everywhere in the project: stores yield it, imports produce it."""

_SPACES = re.compile(r"\s+")


def normalise(text: str) -> str:
    """Return `text` as duplicates are compared: NFKC, case folded, white space collapsed."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()


def text_id(text: str) -> str:
    """Return the 16 hex digits that name a query or document: SHA-256 of its normalised form.

    >>> text_id("How  do I sort?") == text_id("how do i sort?")
    True
    """
    return hashlib.sha256(normalise(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def text_ids(texts: pa.Array) -> pa.Array:
    """Return the `text_id` of each text as a string array of the same length; null for null.

    A text that is repeated in `texts` is normalised and hashed once.
    """
    encoded = pc.dictionary_encode(texts)
    names = pa.array([text_id(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return names.take(encoded.indices)
