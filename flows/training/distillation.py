"""Distil a trained CrossEncoder into a shallower, faster one."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flows.contracts.model import TrainedModel, weights_digest
from flows.contracts.snapshot import Snapshot
from flows.retrieval import Retriever
from flows.settings import StudentSettings, TrainingSettings
from flows.training.checkpoints import CheckpointStore
from flows.training.failures import EmptySplitError
from flows.training.lock import locked
from flows.training.progress import Progress
from flows.training.scorer import CrossEncoderScorer
from flows.training.teaching import fingerprint, lesson_rows, make_lessons, teach
from flows.training.training import Course, follow, newest, trainer_arguments, validation_lists

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from torch import nn


def distil(
    snapshot: Snapshot,
    settings: StudentSettings,
    training: TrainingSettings,
    layers: int,
    teacher: Path,
    output: Path,
    retriever: Retriever | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    checkpoints: CheckpointStore | None = None,
    on_scored: Callable[[int, int], None] = lambda done, total: None,
) -> TrainedModel:
    """Train a student of `layers` layers on the teacher's scores; write the checkpoint that validates best.

    The student starts from the teacher's own layers (`make_student`) and learns to rank the documents of the training
    split as the teacher does; the labels choose the checkpoint. What the teacher says is computed once for all depths
    and kept beside `output`. As with `train`: the same snapshot, settings, teacher and number of threads give the
    same weights unless a time limit ends something, and a training that was killed goes on from a checkpoint.

    Args:
        snapshot: Its training split is learned from, its validation split chooses the checkpoint.
        settings: What is taught, and how long the teacher and each student may take.
        training: All that `settings` do not name: optimisation, validation, checkpoints, seed. One process trains.
        layers: Of the student, fewer than the teacher's. `settings.layers` is the caller's to go through.
        teacher: Folder of a trained CrossEncoder.
        output: Folder of the student, as `CrossEncoder(output)` loads it. It is replaced whole, at the very end.
        retriever: Finds further documents to be taught on; it is given the training split to index.
        on_progress: Called after each step.
        checkpoints: See `train`.
        on_scored: Called with the pairs that the teacher has scored, and all of them, while it does.

    Raises:
        StudentError: no student of so many layers can be made of this teacher.
        EmptySplitError: the training or the validation split has nothing to offer.
        Everything else that `train` raises.
    """
    validation = validation_lists(snapshot, training)
    lessons = make_lessons(newest(snapshot.table("train"), training.window_days), settings, retriever, training.seed)
    if not lessons:
        raise EmptySplitError(
            "No query of the training split has two documents to rank, so there is nothing to teach: raise "
            "RERANKER_STUDENT__MAX_PAIRS, or bring more labelled pairs."
        )

    from transformers import set_seed

    from flows.training.model import open_model
    from flows.training.student import make_student

    wise = open_model(teacher)
    model = make_student(wise, layers)
    scorer = CrossEncoderScorer(wise, "teacher", bf16=training.bf16)
    with locked(output):
        teacher_digest = weights_digest(teacher)
        file = output.parent / "taught" / f"{fingerprint(lessons, teacher_digest)}.npy"
        logits = teach(lessons, scorer, settings.teacher_minutes, file, on_scored)
        recipe = _recipe(settings, training, model.max_length)
        arguments = trainer_arguments(recipe, output)
        set_seed(recipe.seed)
        course = Course(
            model=model,
            rows=lesson_rows(lessons, logits, settings),
            loss=_loss(model, settings),
            validation=validation,
            settings=recipe,
            snapshot=snapshot.digest,
            data=hashlib.sha256(file.name.encode() + np.concatenate(logits).tobytes()).hexdigest(),
            configuration=student_configuration(settings, training, teacher_digest, layers),
            started_from=str(teacher),
        )
        return follow(course, arguments, output, on_progress, checkpoints)


def student_configuration(
    settings: StudentSettings, training: TrainingSettings, teacher_digest: str, layers: int
) -> str:
    """Return 16 hex digits over all that makes a student beside the snapshot; other depths do not change them."""
    alone = settings.model_copy(update={"layers": (layers,)})
    return hashlib.sha256(f"{alone.digest()} {training.digest()} {teacher_digest}".encode()).hexdigest()[:16]


def _recipe(settings: StudentSettings, training: TrainingSettings, max_length: int) -> TrainingSettings:
    """Return `training` with what `settings` say."""
    return training.model_copy(
        update={
            "epochs": settings.epochs,
            "max_minutes": settings.max_minutes,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "max_length": max_length,
            "processes": 1,
        }
    )


def _loss(student: "CrossEncoder", settings: StudentSettings) -> "nn.Module":
    """Return the loss that `settings` name, for `lesson_rows`.

    `listwise` is ListNet's (Cao et al. 2007) with the teacher's softmax as the target; `margin-mse` that of
    Hofstaetter et al. 2020 (arXiv:2010.02666), which leaves the level of a query's scores to the student; `mse` keeps
    it.
    """
    from sentence_transformers.cross_encoder.losses import ListNetLoss, MarginMSELoss, MSELoss

    if settings.loss == "listwise":
        return ListNetLoss(student, mini_batch_size=-1)  # all pairs of a step at once
    return MarginMSELoss(student) if settings.loss == "margin-mse" else MSELoss(student)
