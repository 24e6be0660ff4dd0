"""An evaluation as files, for people and for machines."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flows.evaluation.evaluation import Evaluation
from flows.evaluation.failed_cases import failed_cases, write_cases
from flows.evaluation.lineup import Lineup
from flows.evaluation.report import build_report

_log = logging.getLogger(__name__)

WORST = 50


def write_report(
    folder: Path,
    challenger: Evaluation,
    others: Sequence[Evaluation],
    retriever: Evaluation,
    table: pa.Table,
    *,
    snapshot: str,
    worst: int = WORST,
) -> list[Path]:
    """Write everything about a challenger on a test split.

    - `metrics.json`: an `EvaluationReport`.
    - `predictions.parquet`: scores and ranks of every candidate (`Lineup.predictions`); no text.
    - `failed_cases.csv`: the worst queries, with their text.
    - `metrics.png`, `slices.png`, `differences.png`.

    Args:
        folder: Made where it is missing; files of the same names are replaced.
        challenger: Judged on `table`.
        others: Judged on the same; the first is the incumbent. Without any, the retriever is.
        retriever: Whose order a reranker improves on; it may be one of the others.
        table: The test split (`SNAPSHOT_SCHEMA`).
        snapshot: Digest of the snapshot it belongs to.
        worst: How many queries `failed_cases.csv` holds, at most.

    Returns:
        The files, in this order.

    Raises:
        EvaluationError: two scorers have one name or were judged on different lists, or `table` does not hold them.
        OSError: the disk refuses.
    """
    from flows.evaluation.plots import draw_differences, draw_metrics, draw_slices

    lineup = Lineup.of(challenger, others, retriever)
    report = build_report(lineup, table, snapshot)
    predictions = lineup.predictions()
    cases = failed_cases(lineup, predictions, table, worst)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("metrics.json", "predictions.parquet", "failed_cases.csv")
    pictures = {"metrics.png": draw_metrics, "slices.png": draw_slices}
    files = [folder / name for name in (*names, *pictures, "differences.png")]
    files[0].write_text(report.model_dump_json(indent=2), encoding="utf-8")
    pq.write_table(pa.Table.from_pandas(predictions, preserve_index=False), files[1], compression="zstd")
    write_cases(cases, files[2])
    for name, draw in pictures.items():
        draw(report, folder / name)
    draw_differences(lineup, files[-1])
    _log.info("report on %s and %d others written to %s", challenger.scorer, len(lineup.scorers) - 1, folder)
    return files
