"""What can go wrong in training. None of these heals by trying again: the data or the settings must change."""


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
