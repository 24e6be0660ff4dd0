"""Train a challenger on a snapshot."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.model import TrainedModel
from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.settings import TrainingSettings
from flows.training.examples import Row, training_rows
from flows.training.failures import EmptySplitError
from flows.training.progress import Progress
from flows.training.scorer import CrossEncoderScorer

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from flows.training.trainer import TimedTrainer, Watch

_log = logging.getLogger(__name__)


def train(
    snapshot: Snapshot,
    settings: TrainingSettings,
    start_from: str | Path,
    output: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> TrainedModel:
    """Train a CrossEncoder on the training split and write the checkpoint that validates best to `output`.

    Training ends after `settings.epochs` or `settings.max_minutes`, whichever comes first; the learning rate reaches
    zero with it. The same snapshot, settings, start and number of threads give the same weights, unless the time
    limit ends the training: then the number of steps is the machine's.

    Args:
        snapshot: Its training split is learned from, its validation split chooses the checkpoint.
        settings: Recipe and limits.
        start_from: Hub name, folder or `carried:<model>`; a classification head is added where there is none.
        output: Folder of the model, as `CrossEncoder(output)` loads it. It is replaced whole, at the very end.
        on_progress: Called after each step.

    Raises:
        EmptySplitError: the training or the validation split has nothing to offer.
        UnreadableModelError: `start_from` cannot be read.
        DivergedError: the loss is not a number any more.
    """
    rows = training_rows(_newest(snapshot.table("train"), settings.window_days), settings)
    validation = _validation(snapshot, settings)

    from transformers import set_seed

    from flows.training.model import open_model, save_model

    set_seed(settings.seed)
    model = open_model(start_from, settings.max_length)
    watch, trainer = _prepare(model, rows, validation, settings, on_progress)
    trainer.train()
    watch.restore_best()
    seconds, steps = trainer.clock.seconds, trainer.state.global_step
    _log.info("Trained %d steps in %.0f s, validation NDCG@10 %.3f", steps, seconds, watch.best["ndcg@10"])
    return TrainedModel(
        folder=output,
        digest=save_model(model, output),
        snapshot=snapshot.digest,
        configuration=settings.digest(),
        started_from=str(start_from),
        max_length=settings.max_length,
        steps=steps,
        seconds=seconds,
        pairs_per_second=steps * watch.pairs_a_step / seconds,
        validation=watch.best,
    )


def _newest(table: pa.Table, days: float | None) -> pa.Table:
    """Return the pairs of the newest `days`, counted back from the newest pair."""
    if days is None or table.num_rows == 0:
        return table
    since = pc.max(table["created_at"]).as_py() - timedelta(days=days)
    return table.filter(pc.greater_equal(table["created_at"], since))


def _validation(snapshot: Snapshot, settings: TrainingSettings) -> pa.Table:
    """Return the newest queries of the validation split, as many as the settings ask for."""
    table = snapshot.table("validation")
    rankable = table.filter(pc.equal(table["relevance"], 1))
    if rankable.num_rows == 0:
        raise EmptySplitError(
            f"The validation split has no relevant documents among its {table.num_rows} pairs, so no checkpoint can "
            "be chosen: raise RERANKER_CLEANING__VALIDATION_SHARE or bring more labelled queries."
        )
    newest = rankable.sort_by([("created_at", "descending"), ("query_id", "ascending")])["query_id"].unique()
    return table.filter(pc.is_in(table["query_id"], newest.slice(0, settings.validation_queries)))


def _prepare(
    model: "CrossEncoder",
    rows: Sequence[Row],
    validation: pa.Table,
    settings: TrainingSettings,
    on_progress: Callable[[Progress], None],
) -> tuple["Watch", "TimedTrainer"]:
    """Wire model, rows and callbacks into a trainer."""
    import math

    from datasets import Dataset

    from flows.training.clock import Clock
    from flows.training.losses import make_loss
    from flows.training.trainer import TimedTrainer, Watch

    steps = max(1, math.ceil(settings.epochs * math.ceil(len(rows) / settings.batch_size)))
    scorer = CrossEncoderScorer(model, "checkpoint", bf16=settings.bf16)
    watch = Watch(
        model,
        validate=lambda: dict(evaluate(validation, scorer).summary.metrics),
        validations=settings.validations,
        pairs_a_step=_pairs(rows) / len(rows) * settings.batch_size,
        on_progress=on_progress,
    )
    with tempfile.TemporaryDirectory() as unused:  # the trainer insists on one
        trainer = TimedTrainer(
            clock=Clock(steps, settings.max_minutes * 60),
            warm_up=settings.warm_up,
            model=model,
            args=_arguments(settings, steps, unused),
            train_dataset=Dataset.from_list(list(rows)),
            loss=make_loss(model, rows, settings),
            callbacks=[watch],
        )
    watch.trainer = trainer
    return watch, trainer


def _arguments(settings: TrainingSettings, steps: int, folder: str) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from flows.training.batches import LengthGroupedBatchSampler
    from flows.weights.precision import has_bf16

    return CrossEncoderTrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        batch_sampler=LengthGroupedBatchSampler,
        learning_rate=settings.learning_rate,
        weight_decay=0.01,
        bf16=settings.bf16 and has_bf16(),
        use_cpu=True,
        seed=settings.seed,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _pairs(rows: Sequence[Row]) -> int:
    """Return how many query-document pairs the rows hold."""
    return sum(len(row["documents"]) if "documents" in row else len(row.keys() - {"query", "label"}) for row in rows)
