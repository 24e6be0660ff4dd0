"""How well a scorer ranks the candidates of each query: lists, per-query metrics, means."""

from flows.evaluation.comparison import comparison
from flows.evaluation.evaluation import Evaluation, evaluate
from flows.evaluation.lists import EvaluationError, score_lists
from flows.evaluation.metrics import CUT, METRICS, Summary, gains, per_query_metrics, summarise

__all__ = [
    "CUT",
    "METRICS",
    "Evaluation",
    "EvaluationError",
    "Summary",
    "comparison",
    "evaluate",
    "gains",
    "per_query_metrics",
    "score_lists",
    "summarise",
]
