"""How many requests each subject may send."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from bento.errors import RefusedError

BURST_SECONDS = 15.0
"""So many seconds' worth of requests may come at once."""
MAX_SUBJECTS = 10_000


class RateLimiter:
    """A token bucket for each subject, kept as one number: the generic cell rate algorithm (ITU-T I.371).

    Each worker counts for itself and allows its share, `requests_per_minute / workers`: that is approximate, since
    connections do not spread evenly, and a subject on a single connection gets the share of one worker. In any
    t seconds at most `burst + t / interval` requests of one subject pass a worker.
    """

    def __init__(
        self,
        requests_per_minute: int | None,
        workers: int,
        *,
        max_subjects: int = MAX_SUBJECTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `requests_per_minute` there is no limit."""
        self.interval = 60.0 * workers / requests_per_minute if requests_per_minute else 0.0
        """Seconds between two requests at the allowed rate."""
        self.burst = max(1, int(BURST_SECONDS / self.interval)) if self.interval else 0
        """Requests that pass at once after a pause."""
        self._ahead = (self.burst - 1) * self.interval
        self._max_subjects = max_subjects
        self._clock = clock
        self._next: OrderedDict[str, float] = OrderedDict()  # when each bucket is full again, the latest user last

    def take(self, subject: str) -> None:
        """Count one request of `subject`; RefusedError 429 with the wait when it is one too many.

        Of more than `max_subjects` the one that asked least recently is forgotten, and starts afresh.
        """
        if not self.interval:
            return
        now = self._clock()
        full_at = max(self._next.get(subject, now), now)
        wait = full_at - self._ahead - now
        if wait > 1e-6:  # seconds; less is the rounding of sums
            advice = f"More than the allowed requests: wait {math.ceil(wait)} s, or send more documents in each."
            raise RefusedError(429, "rate_limited", advice, {"retry-after": str(math.ceil(wait))})
        self._next[subject] = full_at + self.interval
        self._next.move_to_end(subject)
        if len(self._next) > self._max_subjects:
            self._next.popitem(last=False)
