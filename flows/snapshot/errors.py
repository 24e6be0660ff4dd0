"""What can be wrong with the pairs. None of these heals by trying again: the data or the settings must change."""


class SnapshotError(Exception):
    """No snapshot can be made of these pairs; the message says why and what to do."""


class NoPairsError(SnapshotError):
    """There are no pairs, or cleaning left none."""


class TooFewQueriesError(SnapshotError):
    """There are too few queries for a training, a validation and a test side."""


class InvalidPairsError(SnapshotError):
    """The table does not follow `flows.contracts.pair.PAIR_SCHEMA`."""
