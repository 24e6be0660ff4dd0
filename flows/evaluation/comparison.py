"""Several scorers on the same split, side by side."""

from collections.abc import Sequence

from flows.evaluation.evaluation import Evaluation

SHOWN = ("ndcg@10", "mrr@10", "map@10", "hits@10", "precision@1", "recall@5")


def comparison(evaluations: Sequence[Evaluation]) -> str:
    """Return a Markdown table of the mean metrics, one row a scorer, in the given order."""
    lines = [
        f"| ranked by | queries | {' | '.join(SHOWN)} |",
        f"|---|---:|{'---:|' * len(SHOWN)}",
    ]
    for evaluation in evaluations:
        values = " | ".join(f"{evaluation.summary.metrics[name]:.4f}" for name in SHOWN)
        lines.append(f"| {evaluation.scorer} | {evaluation.summary.queries} | {values} |")
    return "\n".join(lines)
