"""How far a training is: by steps, or by the time it was given, whichever is further."""

import time

from flows.training.ranks import from_first


class Clock:
    """Runs from `start`. The time stands still between two ticks, so that all processes of a training agree on it."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps = steps
        self.seconds = 0.0
        """Of training until the last tick, those before an interruption included."""
        self._limit = seconds
        self._started = time.monotonic()

    def start(self) -> None:
        """Begin to count, on from `seconds`."""
        self._started = time.monotonic() - self.seconds

    def tick(self) -> None:
        """Take the time of the first process. Every process must call it, at the same points."""
        self.seconds = from_first(time.monotonic() - self._started)

    def share(self, step: int) -> float:
        """Return how much of the training has passed after `step`, 0 to 1; nothing before the first."""
        return min(1.0, max(step / self.steps, self.seconds / self._limit)) if step else 0.0

    def total(self, step: int) -> int:
        """Return how many steps there will be, as far as it can be told after `step`."""
        return min(self.steps, round(step / self.share(step))) if step else self.steps
