"""Scores of pairs seen before, bounded in bytes."""

from collections import OrderedDict
from dataclasses import replace

from bento.scoring.scored import ScoredPair

ENTRY_BYTES, TABLE_BYTES = 440, 8_192
"""What one entry costs at most in CPython: key, score, its two numbers, and its share of a table that is up to six
times as wide as it is full; and what the smallest table costs. tests/bento/scoring/test_cache.py measures both."""


class ScoreCache:
    """The pairs asked for last. Not thread-safe: it belongs to the event loop."""

    def __init__(self, max_bytes: int) -> None:
        """Keep as many scores as fit into `max_bytes`; 0 keeps none."""
        self._capacity = max(0, max_bytes - TABLE_BYTES) // ENTRY_BYTES
        self._entries: OrderedDict[bytes, ScoredPair] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> ScoredPair | None:
        """Return the score, marked as cached, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, scored: ScoredPair) -> None:
        """Remember a score; the one that was asked for the longest ago makes room."""
        if not self._capacity:
            return
        self._entries[key] = replace(scored, cached=True)
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
