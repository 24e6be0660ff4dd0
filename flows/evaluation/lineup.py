"""Several scorers of the same lists."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from flows.evaluation.evaluation import Evaluation, check_comparable
from flows.evaluation.lists import COLUMNS, EvaluationError, ranks

KEY = ["query_id", "document_id"]


@dataclass(frozen=True)
class Lineup:
    """A challenger and those beside it, judged on the same lists."""

    challenger: Evaluation
    incumbent: Evaluation
    """What the challenger would replace."""
    retriever: Evaluation
    """What a reranker improves on."""
    scorers: tuple[Evaluation, ...]
    """All of them once, the challenger first; their names differ."""

    @classmethod
    def of(cls, challenger: Evaluation, others: Sequence[Evaluation], retriever: Evaluation) -> "Lineup":
        """Line up; the first of `others` is the incumbent, the retriever where there are none.

        Raises EvaluationError where two have one name, or where they were judged on different queries.
        """
        scorers = (challenger, *others)
        if retriever.scorer not in [scorer.scorer for scorer in scorers]:
            scorers = (*scorers, retriever)
        names = [scorer.scorer for scorer in scorers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise EvaluationError(f"Several scorers are called {', '.join(twice)}: give each a name of its own.")
        for scorer in scorers:
            check_comparable(scorer, challenger)
        return cls(challenger, others[0] if others else retriever, retriever, scorers)

    def predictions(self) -> pd.DataFrame:
        """Return what every scorer gave every candidate.

        Returns:
            One row a candidate, by query and then in the challenger's order: query_id, document_id, relevance,
            grade, and for each scorer "<name> score" and "<name> rank" (from 1).

        Raises:
            EvaluationError: the scorers were given different candidates.
        """
        columns = self.challenger.lists[list(COLUMNS)].set_index(KEY)
        for scorer in self.scorers:
            mine = scorer.lists[[*KEY, "score"]].assign(rank=ranks(scorer.lists)).set_index(KEY)
            aligned = mine.reindex(columns.index)
            if len(mine) != len(columns) or aligned["score"].isna().any():
                raise EvaluationError(
                    f"{scorer.scorer} and {self.challenger.scorer} were given different candidates: evaluate both "
                    "on the same split."
                )
            columns[score_column(scorer)] = aligned["score"]
            columns[rank_column(scorer)] = aligned["rank"].astype("int32")
        return columns.reset_index().sort_values(["query_id", rank_column(self.challenger)], ignore_index=True)


def score_column(scorer: Evaluation) -> str:
    """Return where `predictions` keeps the scores of `scorer`."""
    return f"{scorer.scorer} score"


def rank_column(scorer: Evaluation) -> str:
    """Return where `predictions` keeps the ranks of `scorer`."""
    return f"{scorer.scorer} rank"
