"""Train CrossEncoder challengers, and score pairs with them."""

from flows.training.failures import (
    DivergedError,
    EmptySplitError,
    StudentError,
    TrainingError,
    UnreadableModelError,
)
from flows.training.progress import Progress
from flows.training.scorer import CrossEncoderScorer
from flows.training.training import train

__all__ = [
    "CrossEncoderScorer",
    "DivergedError",
    "EmptySplitError",
    "Progress",
    "StudentError",
    "TrainingError",
    "UnreadableModelError",
    "train",
]
