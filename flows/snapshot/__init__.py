"""From stored pairs to a frozen snapshot: clean, split by query and time, undersample, freeze."""

from flows.snapshot.cleaning import CleanedPairs, clean
from flows.snapshot.description import describe
from flows.snapshot.errors import InvalidPairsError, NoPairsError, SnapshotError, TooFewQueriesError
from flows.snapshot.finding import find
from flows.snapshot.freezing import Frozen, content_digest, freeze
from flows.snapshot.splitting import split
from flows.snapshot.undersampling import undersample

__all__ = [
    "CleanedPairs",
    "Frozen",
    "InvalidPairsError",
    "NoPairsError",
    "SnapshotError",
    "TooFewQueriesError",
    "clean",
    "content_digest",
    "describe",
    "find",
    "freeze",
    "split",
    "undersample",
]
