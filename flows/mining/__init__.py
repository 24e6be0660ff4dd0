"""Hard negatives: documents that look relevant to a query and are not."""

from flows.mining.mining import mine

__all__ = ["mine"]
