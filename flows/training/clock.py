"""How far a training is: by steps, or by the time it was given, whichever is further."""

import time


class Clock:
    """Runs from the first call of `start`."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps = steps
        self._limit = seconds
        self._started = time.monotonic()

    def start(self) -> None:
        """Begin to count the time."""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def share(self, step: int) -> float:
        """Return how much of the training has passed after `step`, 0 to 1; nothing before the first."""
        return min(1.0, max(step / self.steps, self.seconds / self._limit)) if step else 0.0

    def total(self, step: int) -> int:
        """Return how many steps there will be, as far as it can be told after `step`."""
        return min(self.steps, round(step / self.share(step))) if step else self.steps
