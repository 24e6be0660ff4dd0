"""One request's part of the queue, and the pairs in it."""

from asyncio import Future
from bisect import bisect_left
from operator import attrgetter

from bento.errors import RefusedError
from bento.model.encoded import EncodedPair
from bento.scoring.scored import ScoredPair

_tokens = attrgetter("tokens")


class Job:
    """What a request still waits for, and what it has got."""

    __slots__ = (
        "_lengths",
        "_works",
        "bin",
        "deadline",
        "done",
        "failure",
        "listed",
        "outstanding",
        "scores",
        "started",
        "tag",
        "waiting",
    )

    def __init__(self, keys: int, deadline: float, done: Future[None]) -> None:
        """`keys` distinct pairs are awaited; `done` gets its result when the last is there, or one has failed."""
        self.outstanding = keys
        self.deadline = deadline
        self.done = done
        self.scores: dict[bytes, ScoredPair] = {}
        self.failure: RefusedError | None = None
        self.started: float | None = None
        """When the first of its pairs left the queue."""

        # The rest belongs to the queue.
        self.tag = 0
        """Virtual time: tokens that the queue served to this job, and to others before it came."""
        self.waiting = 0
        """Tokens of its pairs that wait."""
        self.bin = 0
        self.listed = False
        self._works: list[Work] = []
        self._lengths: list[int] = []

    def deliver(self, key: bytes, scored: ScoredPair) -> None:
        """Take one score."""
        self.scores[key] = scored
        self.outstanding -= 1
        if not self.outstanding:
            self._end()

    def fail(self, failure: RefusedError) -> None:
        """Give up for this reason."""
        if not self.done.done():
            self.failure = failure
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def extend(self, works: "list[Work]") -> None:
        """Let pairs wait."""
        self._works += works
        self._works.sort(key=_tokens)
        self._lengths = [work.tokens for work in self._works]

    def put(self, work: "Work") -> None:
        """Let one pair wait."""
        position = bisect_left(self._lengths, work.tokens)
        self._works.insert(position, work)
        self._lengths.insert(position, work.tokens)

    def take(self, tokens: int | None) -> "Work | None":
        """Return the waiting pair whose length is nearest to `tokens`, or the longest, and forget it here."""
        works, lengths = self._works, self._lengths
        while works:
            position = len(works) - 1 if tokens is None else _nearest(lengths, tokens)
            work = works.pop(position)
            del lengths[position]
            if not work.taken:  # else another job took it, and its score comes to this one too
                work.taken = True
                return work
        return None

    def clear(self) -> "list[Work]":
        """Forget all pairs and return them."""
        works, self._works, self._lengths = self._works, [], []
        return works

    @property
    def has_pairs(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._works)


class Work:
    """A pair that waits for the engine or is in it, and who wants its score."""

    __slots__ = ("jobs", "key", "pair", "taken", "tokens")

    def __init__(self, key: bytes, pair: EncodedPair, job: Job) -> None:
        self.key = key
        self.pair = pair
        self.tokens = len(pair)
        self.jobs = [job]
        self.taken = False


def _nearest(lengths: list[int], tokens: int) -> int:
    above = bisect_left(lengths, tokens)
    if above == len(lengths):
        return above - 1
    if above and tokens - lengths[above - 1] < lengths[above] - tokens:
        return above - 1
    return above
