"""Hard negatives: documents that look relevant to a query and are not."""

from flows.mining.mining import is_needed, mine

__all__ = ["is_needed", "mine"]
