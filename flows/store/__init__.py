"""The labels table: where labelled pairs are kept, in SQLite or in Supabase, behind one interface.

**Keys.** A row is named by 128 bits of the SHA-256 of its query, document, source and relevance, exactly as written.
The same text with another label, or from another source, is another row: what counts as a duplicate or as a
contradiction is decided by cleaning, which can be changed and run again; a store that decided could not.

**Merging.** Appending a row that is there already merges it, so an import can be run again, in part or at the same
time as another, and nothing doubles. The merged row has the newest `created_at`, the grade of whichever row was
newer (at the same time, the higher one), and keeps its `subject_id` when the other row has none (of two, the greater
in code point order). The rule is commutative, associative and idempotent: in which order rows arrive, and whether a
request was sent twice because its answer was lost, cannot be seen in the result.

**Order.** Each row has a number, given when it is first stored and never changed, and `scan` walks the numbers
upwards, page by page (keyset pagination): a row that was there when the scan began comes exactly once however many
others write meanwhile, no transaction stays open, and the disk is read in order. (In the order of the keys a scan of
a million pairs took three times as long, with all of them in memory.) Nothing may rest on the order of arrival.

**Text.** What PostgreSQL cannot hold (NUL) is refused by both stores; `flows.ingest` puts such rows into quarantine.
"""

from flows.store.errors import ContractError, StoreError, StoreRefusedError, StoreUnavailableError
from flows.store.label_store import AppendCounts, LabelStore, QuarantinedRow
from flows.store.opening import open_store
from flows.store.sqlite import SqliteLabelStore

__all__ = [
    "AppendCounts",
    "ContractError",
    "LabelStore",
    "QuarantinedRow",
    "SqliteLabelStore",
    "StoreError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "open_store",
]
