from collections.abc import Callable

import pandas as pd
import pytest


@pytest.fixture
def lists() -> Callable[..., pd.DataFrame]:
    """Make scored lists: lists(q1=[(relevance, score), (relevance, score, grade), ...])."""

    def make(**queries: list[tuple[float | None, ...]]) -> pd.DataFrame:
        rows = [
            (query, f"d{position}", candidate[0], candidate[1], candidate[2] if len(candidate) > 2 else None)
            for query, candidates in queries.items()
            for position, candidate in enumerate(candidates)
        ]
        frame = pd.DataFrame(rows, columns=["query_id", "document_id", "relevance", "score", "grade"])
        return frame.astype({"relevance": "int8", "score": "float32", "grade": "Int8"})

    return make
