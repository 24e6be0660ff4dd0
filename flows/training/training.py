"""Train a challenger on a snapshot."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.contracts.model import TrainedModel
from flows.contracts.negatives import NEGATIVES_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.settings import TrainingSettings
from flows.training.checkpoints import Checkpoints, CheckpointStore
from flows.training.examples import training_rows
from flows.training.failures import EmptySplitError, UnwritableModelError
from flows.training.lock import locked
from flows.training.processes import Job, train_together
from flows.training.progress import Progress
from flows.training.rows import Rows
from flows.training.scorer import CrossEncoderScorer

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
    from torch import nn

    from flows.training.trainer import TimedTrainer

_log = logging.getLogger(__name__)


def train(
    snapshot: Snapshot,
    settings: TrainingSettings,
    start_from: str | Path,
    output: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
    checkpoints: CheckpointStore | None = None,
    negatives: Path | None = None,
) -> TrainedModel:
    """Train a CrossEncoder on the training split and write the checkpoint that validates best to `output`.

    Training ends after `settings.epochs` or `settings.max_minutes`, whichever comes first; the learning rate reaches
    zero with it. The same snapshot, settings, start and number of threads give the same weights, unless the time
    limit ends the training: then the number of steps is the machine's. That holds too for a training that was killed
    and goes on from a checkpoint; its time goes on with it.

    Args:
        snapshot: Its training split is learned from, its validation split chooses the checkpoint.
        settings: Recipe and limits; with `processes` above 1, so many train together on this machine.
        start_from: Hub name, folder or `carried:<model>`; a classification head is added where there is none.
        output: Folder of the model, as `CrossEncoder(output)` loads it. It is replaced whole, at the very end.
        on_progress: Called after each step.
        checkpoints: Where a training that was killed, or whose model could not be written or registered, is taken
            up, and where this one leaves its own, the last at its end: they are the caller's to discard. Without a
            store, every training begins anew. A checkpoint that cannot be written costs a warning.
        negatives: Parquet file with documents that were mined for the queries (NEGATIVES_SCHEMA).

    Raises:
        EmptySplitError: the training or the validation split has nothing to offer.
        UnreadableModelError: `start_from` cannot be read.
        DivergedError: the loss is not a number any more.
        UnwritableModelError: the trained model cannot be written; `output` is as it was.
        AlreadyTrainingError: another process trains into `output` now.
        CheckpointsAwayError: the store of the checkpoints cannot be read now.
        LostProcessError: one of several processes died.
    """
    with locked(output):
        if settings.processes > 1:
            return _together(Job(snapshot.folder, settings, start_from, output, checkpoints, negatives), on_progress)
        return fit(snapshot, settings, start_from, output, on_progress, checkpoints, negatives)


def _together(job: Job, on_progress: Callable[[Progress], None]) -> TrainedModel:
    """Train in several processes, and clean up behind those that died."""
    try:
        return train_together(job, on_progress)
    finally:
        for left in (_working(job.output), job.output.with_name(job.output.name + ".partial")):
            shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Course:
    """What a model is trained on, and how."""

    model: "CrossEncoder"
    rows: Rows
    loss: "nn.Module"
    """Takes batches of `rows`."""
    validation: pa.Table
    settings: TrainingSettings
    snapshot: str
    data: str
    """Tells `rows` from others: a checkpoint is gone on from with the same alone."""
    configuration: str
    started_from: str


def fit(
    snapshot: Snapshot,
    settings: TrainingSettings,
    start_from: str | Path,
    output: Path,
    on_progress: Callable[[Progress], None],
    store: CheckpointStore | None,
    negatives: Path | None = None,
) -> TrainedModel:
    """Train as one of the processes, or the only one; the first of them writes. See `train`."""
    mined = None if negatives is None else pq.read_table(negatives, schema=NEGATIVES_SCHEMA)
    rows = training_rows(newest(snapshot.table("train"), settings.window_days), settings, mined)
    if not rows:
        raise EmptySplitError(
            f"No relevant document of the training split can be given {settings.negatives} others, so there is "
            "nothing to learn from: lower RERANKER_TRAINING__NEGATIVES, or bring more labelled pairs."
        )
    validation = validation_lists(snapshot, settings)

    from transformers import set_seed

    from flows.training.losses import make_loss
    from flows.training.model import open_model

    arguments = trainer_arguments(settings, output)  # with several processes, they find each other here
    set_seed(settings.seed)
    model = open_model(start_from, settings.max_length)
    course = Course(
        model=model,
        rows=rows,
        loss=make_loss(model, rows, settings),
        validation=validation,
        settings=settings,
        snapshot=snapshot.digest,
        data=snapshot.digest,
        configuration=settings.digest(),
        started_from=str(start_from),
    )
    return follow(course, arguments, output, on_progress, store)


def follow(
    course: Course,
    arguments: "CrossEncoderTrainingArguments",
    output: Path,
    on_progress: Callable[[Progress], None],
    store: CheckpointStore | None,
) -> TrainedModel:
    """Train the model of `course` from the newest checkpoint, or its start, and write it to `output`. See `train`."""
    from flows.training.identity import identity
    from flows.training.ranks import rank, ranks

    known = identity(course.data, course.configuration, course.model, ranks())
    checkpoints = None if store is None else Checkpoints(store, known)
    trainer = _prepare(course, arguments, on_progress, checkpoints)
    try:
        trainer.train_on()
        digest = _write(course.model, output)
    finally:
        if rank() == 0:
            shutil.rmtree(_working(output), ignore_errors=True)
    watch, clock, steps = trainer.watch, trainer.clock, trainer.watch.step
    _log.info("Trained %d steps in %.0f s, validation NDCG@10 %.3f", steps, clock.seconds, watch.best["ndcg@10"])
    return TrainedModel(
        folder=output,
        digest=digest,
        snapshot=course.snapshot,
        configuration=course.configuration,
        started_from=course.started_from,
        max_length=course.settings.max_length,
        steps=steps,
        seconds=clock.seconds,
        pairs_per_second=steps * watch.pairs_a_step / clock.seconds,
        validation=watch.best,
    )


def _working(output: Path) -> Path:
    """Return the folder for files that are in the making; beside the output, so that they can be moved."""
    return output.with_name(output.name + ".working")


def newest(table: pa.Table, days: float | None) -> pa.Table:
    """Return the pairs of the newest `days`, counted back from the newest pair."""
    if days is None or table.num_rows == 0:
        return table
    since = pc.max(table["created_at"]).as_py() - timedelta(days=days)
    return table.filter(pc.greater_equal(table["created_at"], since))


def validation_lists(snapshot: Snapshot, settings: TrainingSettings) -> pa.Table:
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
    course: Course,
    arguments: "CrossEncoderTrainingArguments",
    on_progress: Callable[[Progress], None],
    checkpoints: Checkpoints | None,
) -> "TimedTrainer":
    """Wire model, rows and callbacks into a trainer."""
    import math

    from flows.training.clock import Clock
    from flows.training.ranks import ranks
    from flows.training.trainer import TimedTrainer
    from flows.training.watch import Watch

    model, rows, settings = course.model, course.rows, course.settings
    together = max(2, round(settings.batch_size * len(rows) / rows.pairs))  # one alone has no negatives in its batch
    at_once = together * ranks()
    arguments.per_device_train_batch_size = together
    steps = max(1, math.ceil(settings.epochs * math.ceil(len(rows) / at_once)))
    arguments.max_steps = steps
    scorer = CrossEncoderScorer(model, "checkpoint", bf16=settings.bf16)
    return TimedTrainer(
        rows=rows,
        clock=Clock(steps, settings.max_minutes * 60),
        warm_up=settings.warm_up,
        watch=Watch(
            model,
            validate=lambda: evaluate(course.validation, scorer).summary.metrics,
            settings=settings,
            pairs_a_step=rows.pairs / len(rows) * at_once,
            on_progress=on_progress,
        ),
        checkpoints=checkpoints,
        model=model,
        args=arguments,
        loss=course.loss,
    )


def trainer_arguments(settings: TrainingSettings, output: Path) -> "CrossEncoderTrainingArguments":
    """Return the arguments of a trainer that works beside `output`."""
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    from flows.weights.precision import best_device, has_bf16

    on_cpu = best_device() == "cpu"
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(_working(output)),
        max_steps=1,  # until the rows are counted, as is the batch size
        learning_rate=settings.learning_rate,
        weight_decay=0.01,
        bf16=settings.bf16 and has_bf16(),
        use_cpu=on_cpu,
        ddp_backend=None if settings.processes == 1 else "gloo" if on_cpu else "nccl",
        ddp_find_unused_parameters=False,  # every one is used, and torch cannot look into what a CrossEncoder returns
        seed=settings.seed,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # of several GPUs, each process has one
    return arguments


def _write(model: "CrossEncoder", output: Path) -> str:
    """Write the model from the first process, and return its digest."""
    from flows.training.model import save_model
    from flows.training.ranks import rank
    from flows.training.trainer import CANNOT_WRITE

    if rank() > 0:
        return ""
    try:
        return save_model(model, output)
    except CANNOT_WRITE as error:
        shutil.rmtree(output.with_name(output.name + ".partial"), ignore_errors=True)
        raise UnwritableModelError(
            f"The trained model cannot be written to {output}: {error}. Make room or give permission, and start "
            "again: training goes on from its newest checkpoint."
        ) from error
