"""Import of labelled pairs from files: CSV, TSV, JSONL, Parquet and BEIR folders.

Nothing is dropped silently: a row that cannot be used goes to the store's quarantine with its reason, and the counts
of the report add up. What is wrong with a file as a whole raises ImportFailed, and nothing of it is imported.
"""

from flows.ingest.failure import ImportFailed
from flows.ingest.importing import import_pairs
from flows.ingest.mapping import ColumnMapping
from flows.ingest.report import ImportReport

__all__ = ["ColumnMapping", "ImportFailed", "ImportReport", "import_pairs"]
