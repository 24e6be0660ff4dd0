"""The queries that the challenger ranks worst, for people to read."""

import csv
import unicodedata
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.evaluation.lineup import KEY, Lineup, rank_column, score_column
from flows.evaluation.lists import EvaluationError
from flows.evaluation.metrics import NDCG

_PERFECT = 1 - 1e-9
_FORMULA = "=+-@\t\r\n"
_DECIMALS = 6
_CELL_CHARACTERS = 32_000
"""A spreadsheet's cell takes 32,767; what is beyond would spill into cells of its own."""


def failed_cases(lineup: Lineup, predictions: pd.DataFrame, table: pa.Table, worst: int) -> pd.DataFrame:
    """Return the lists of the `worst` queries by the challenger's NDCG@10; perfect ones are no failures.

    Args:
        lineup: Who judged.
        predictions: Of `lineup`.
        table: What was judged, with the text.
        worst: How many queries, at most.

    Returns:
        One row a candidate, the worst query first, its candidates in the challenger's order; beside the
        challenger's score and rank the ranks that the others gave.

    Raises:
        EvaluationError: `table` lacks a candidate.
    """
    ndcg = lineup.challenger.per_query[NDCG]
    chosen = ndcg[ndcg < _PERFECT].sort_values(kind="stable").head(worst)  # equals stay in the order of query_id
    of_chosen = pc.is_in(table["query_id"], value_set=pa.array(chosen.index, pa.string()))
    text = table.filter(of_chosen).select([*KEY, "query", "document"]).to_pandas()
    judged = predictions[predictions["query_id"].isin(chosen.index)]
    cases = judged.merge(text, on=KEY, validate="one_to_one")
    if len(cases) < len(judged):
        raise EvaluationError(
            f"The table lacks {len(judged) - len(cases)} of the candidates that were judged: pass the split that was."
        )
    cases[NDCG] = cases["query_id"].map(chosen)
    cases["place"] = cases["query_id"].map({query: place for place, query in enumerate(chosen.index)})
    cases = cases.sort_values(["place", rank_column(lineup.challenger)], ignore_index=True)
    others = [rank_column(scorer) for scorer in lineup.scorers[1:]]
    places = [score_column(lineup.challenger), rank_column(lineup.challenger), *others]
    return cases[["query_id", NDCG, "query", "document_id", "document", "relevance", "grade", *places]]


def write_cases(cases: pd.DataFrame, path: Path) -> None:
    """Write `cases` as CSV that a spreadsheet shows as it is: UTF-8 with its mark, every text quoted and inert."""
    scores = cases.select_dtypes("float32").columns
    safe = cases.astype(dict.fromkeys(scores, "float64")).round(_DECIMALS).rename(columns=inert)
    for name in safe.select_dtypes("object").columns:
        safe[name] = safe[name].map(inert)
    safe.to_csv(path, index=False, encoding="utf-8-sig", quoting=csv.QUOTE_NONNUMERIC)


def inert(text: str) -> str:
    """Return `text` so that no spreadsheet takes it for a formula, and at most as long as a cell.

    An apostrophe is put before what begins with a tab or a line break, or whose first visible character starts a
    formula, full-width forms included (OWASP, "CSV Injection").

    >>> inert("=1+1"), inert("  @sum"), inert("a=b")
    ("'=1+1", "'  @sum", 'a=b')
    """
    seen = next((c for c in text if not c.isspace() and not unicodedata.category(c).startswith("C")), "")
    starts = text[:1] + unicodedata.normalize("NFKC", seen)
    guarded = f"'{text}" if any(sign in starts for sign in _FORMULA) else text
    return guarded if len(guarded) <= _CELL_CHARACTERS else guarded[: _CELL_CHARACTERS - 1] + "…"
