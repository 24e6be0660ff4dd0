"""Train CrossEncoder challengers, and score pairs with them."""

from flows.training.checkpoints import CheckpointStore, LocalCheckpoints
from flows.training.distillation import distil, student_configuration
from flows.training.failures import (
    AlreadyTrainingError,
    CheckpointsAwayError,
    DivergedError,
    EmptySplitError,
    LostProcessError,
    StudentError,
    TrainingError,
    UnreadableModelError,
    UnwritableModelError,
)
from flows.training.progress import Progress
from flows.training.scorer import CrossEncoderScorer
from flows.training.training import newest, train

__all__ = [
    "AlreadyTrainingError",
    "CheckpointStore",
    "CheckpointsAwayError",
    "CrossEncoderScorer",
    "DivergedError",
    "EmptySplitError",
    "LocalCheckpoints",
    "LostProcessError",
    "Progress",
    "StudentError",
    "TrainingError",
    "UnreadableModelError",
    "UnwritableModelError",
    "distil",
    "newest",
    "student_configuration",
    "train",
]
