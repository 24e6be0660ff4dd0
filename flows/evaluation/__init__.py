"""How well a scorer ranks the candidates of each query: lists, metrics, slices, and reports on several scorers."""

from flows.evaluation.accuracy import RerankingAccuracy, reranking_accuracy
from flows.evaluation.comparison import comparison
from flows.evaluation.curve import Curve, Point
from flows.evaluation.evaluation import Evaluation, evaluate
from flows.evaluation.improvement import IMPROVED, Improvement, improvement
from flows.evaluation.lists import EvaluationError, ranks, score_lists
from flows.evaluation.metrics import CUT, METRICS, Summary, gains, per_query_metrics, summarise
from flows.evaluation.report import EvaluationReport
from flows.evaluation.slicing import OTHER_SOURCES, SLICES, slice_means, slices
from flows.evaluation.writing import write_report

__all__ = [
    "CUT",
    "IMPROVED",
    "METRICS",
    "OTHER_SOURCES",
    "SLICES",
    "Curve",
    "Evaluation",
    "EvaluationError",
    "EvaluationReport",
    "Improvement",
    "Point",
    "RerankingAccuracy",
    "Summary",
    "comparison",
    "evaluate",
    "gains",
    "improvement",
    "per_query_metrics",
    "ranks",
    "reranking_accuracy",
    "score_lists",
    "slice_means",
    "slices",
    "summarise",
    "write_report",
]
