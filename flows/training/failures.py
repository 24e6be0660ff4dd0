"""What can go wrong in training. Those that are Healable can end otherwise when tried again."""

from flows.contracts.failure import Healable


class TrainingError(Exception):
    """A challenger cannot be trained; the message says why and what to do."""


class EmptySplitError(TrainingError):
    """A split holds nothing to learn from, or nothing to choose a checkpoint by."""


class UnreadableModelError(TrainingError):
    """The model to start from, or to score with, is missing or is no CrossEncoder."""


class DivergedError(TrainingError):
    """The loss is not a number any more."""


class StudentError(TrainingError):
    """A model cannot be made shallower as it was asked."""


class UnwritableModelError(TrainingError):
    """The trained model cannot be written: a full disk, a folder without permission."""


class AlreadyTrainingError(TrainingError, Healable):
    """Another process trains the same challenger now."""


class CheckpointsAwayError(TrainingError, Healable):
    """The store of the checkpoints cannot be read now."""


class LostProcessError(TrainingError, Healable):
    """One of several processes that trained together has died; with checkpoints, another attempt goes on there."""
