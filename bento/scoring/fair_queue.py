"""The pairs of all waiting requests, and which of them the engine reads next.

Start-time fair queueing (Goyal, Vin and Cheng 1996) over requests: each has a tag, the tokens it has been served,
counted from the tag that was being served when it came; the lowest tag goes first. So one document beside a request
of a thousand is read next, and the thousand go on. While work would miss its deadline so, deadlines decide instead.
"""

import math
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from bento.model.encoded import EncodedPair
from bento.scoring.job import Job, Work

FLOOR_TOKENS = 64
"""Little work is split over idle streams, but not finer than this."""
WINDOW = 4
"""Micro-batches' worth of the fairest pairs that are looked at for such as are alike in length."""
UNEVEN = 1.25
"""A split part may be so much larger than the even one, or unequal lengths would leave a pair for one more round."""
PRESSED = 0.7
"""Waiting work goes by deadline when it needs more than this share of the time left; rates are never quite right."""
HOPELESS = 1.5
"""A job that needs so many times the time it has left must not make others late too."""
BIN_SECONDS = 0.25
HORIZON = 3_600.0
"""Seconds; deadlines farther off are as good as none."""


class _Bin:
    """Jobs whose deadlines are almost the same."""

    __slots__ = ("jobs", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.jobs: dict[Job, None] = {}


_Offer = tuple[Job, Work, int]
"""A pair, the job that offers it, and the virtual time at which it would be its turn."""


class FairQueue:
    """Pairs that wait. Knows no clock and no thread; times are those of the deadlines."""

    def __init__(self, batch_tokens: int) -> None:
        """`batch_tokens`: the most a micro-batch may have, padding included, unless a single pair is longer."""
        self.tokens = 0
        """All that wait, a pair that several jobs want counted once."""
        self._batch_tokens = batch_tokens
        self._works: dict[bytes, Work] = {}
        self._fairest: list[tuple[int, int, Job]] = []  # tags in here may be too low, never too high
        self._bins: dict[int, _Bin] = {}
        self._virtual = 0
        self._arrivals = 0

    def __contains__(self, key: bytes) -> bool:
        """Whether the pair waits or is being read."""
        return key in self._works

    def add(self, job: Job, pairs: Iterable[tuple[bytes, EncodedPair]], now: float) -> None:
        """Let pairs wait; one that is here already is joined."""
        fresh = []
        for key, pair in pairs:
            if key in self._works:
                self.join(job, key, now)
            else:
                work = self._works[key] = Work(key, pair, job)
                fresh.append(work)
        tokens = sum(work.tokens for work in fresh)
        self.tokens += tokens
        job.extend(fresh)
        self._enlist(job, tokens, now)

    def join(self, job: Job, key: bytes, now: float) -> None:
        """Let `job` have the score of a pair that waits or is being read."""
        work = self._works[key]
        work.jobs.append(job)
        if not work.taken:
            job.put(work)
            self._enlist(job, work.tokens, now)

    def drop(self, job: Job) -> None:
        """Forget what only `job` waits for."""
        self._shrink(job, job.waiting)
        for work in job.clear():
            if work.taken:
                continue
            work.jobs = [other for other in work.jobs if other is not job and not other.done.done()]
            if work.jobs:
                self._bequeath(work)
            elif self._works.pop(work.key, None):
                self.tokens -= work.tokens

    def cut(self, now: float, rate: float, idle: int, running: int = 0) -> list[Work]:
        """Take the next micro-batch; empty when nothing waits.

        `rate` in tokens a second, `idle` streams that could take one now, `running` tokens in the others.
        """
        if not self.tokens:
            return []
        batches = max(idle, math.ceil(self.tokens / self._batch_tokens))
        budget = min(self._batch_tokens, max(FLOOR_TOKENS, int(self.tokens / batches * UNEVEN)))
        window: list[_Offer] = []
        if self._is_pressed(now, rate, running):
            window = self._most_pressing(WINDOW * budget, now, rate)
        chosen = self._choose(window or self._fairest_pairs(WINDOW * budget), budget)
        for work in chosen:
            self.tokens -= work.tokens
            for job in work.jobs:
                self._shrink(job, work.tokens)
                if job.started is None:
                    job.started = now
        return chosen

    def finish(self, work: Work) -> list[Job]:
        """Forget a pair that was cut; return who wants its score."""
        del self._works[work.key]
        return [job for job in work.jobs if not job.done.done()]

    def _choose(self, window: list[_Offer], budget: int) -> list[Work]:
        """Take those nearest in length to the first, the fairer of equals; put the others back."""
        anchor = window[0][1]
        step = anchor.tokens // 16 + 1  # so little padding is no reason to let a fairer one wait
        window.sort(key=lambda offer: abs(offer[1].tokens - anchor.tokens) // step)
        chosen: list[Work] = []
        longest = 0
        for job, work, tag in window:
            padded = max(longest, work.tokens)
            if not chosen or (len(chosen) + 1) * padded <= budget:
                chosen.append(work)
                longest = padded
                job.tag += work.tokens
                self._virtual = max(self._virtual, tag)
            else:
                work.taken = False
                job.put(work)
        for job, *_ in window:
            self._list(job)
        return chosen

    def _fairest_pairs(self, limit: int) -> list[_Offer]:
        """Take about `limit` tokens in the order in which a perfectly fair queue would serve them."""
        window: list[_Offer] = []
        seen: list[tuple[int, int, Job]] = []  # as `_fairest`, as if all of the window were served
        anchor: int | None = None
        taken = 0
        while taken < limit and (self._fairest or seen):
            if seen and (not self._fairest or seen[0] <= self._fairest[0]):
                tag, arrival, job = heappop(seen)
            else:
                tag, arrival, job = heappop(self._fairest)
                if job.tag > tag:  # served by deadline meanwhile
                    heappush(self._fairest, (job.tag, arrival, job))
                    continue
                job.listed = False
            work = job.take(anchor)
            if work is None:
                continue
            anchor = work.tokens if anchor is None else anchor
            taken += work.tokens
            window.append((job, work, tag))
            heappush(seen, (tag + work.tokens, arrival, job))
        return window

    def _most_pressing(self, limit: int, now: float, rate: float) -> list[_Offer]:
        """Take about `limit` tokens by deadline, of jobs that can still be in time."""
        window: list[_Offer] = []
        anchor: int | None = None
        taken = 0
        for job in self._by_deadline(now, rate):
            while taken < limit and (work := job.take(anchor)):
                anchor = work.tokens if anchor is None else anchor
                taken += work.tokens
                window.append((job, work, self._virtual))  # deadlines move no virtual time
            if taken >= limit:
                break
        return window

    def _by_deadline(self, now: float, rate: float) -> Iterator[Job]:
        for _, of_one_time in sorted(self._bins.items()):
            for job in of_one_time.jobs:
                if job.waiting <= HOPELESS * rate * (job.deadline - now):
                    yield job

    def _is_pressed(self, now: float, rate: float, running: int) -> bool:
        """Whether some deadline would be missed if all that is due by then had to share with later work."""
        # Besides, a pair may have to wait for a window of others that are nearer in length to its anchor.
        before = running + WINDOW * self._batch_tokens
        for number, of_one_time in sorted(self._bins.items()):
            before += of_one_time.tokens
            if before > PRESSED * rate * (number * BIN_SECONDS - now):
                return True
        return False

    def _enlist(self, job: Job, tokens: int, now: float) -> None:
        """Count `tokens` as waiting for `job`."""
        if not tokens:
            return
        if not job.waiting:
            job.bin = int(min(job.deadline, now + HORIZON) / BIN_SECONDS)
            self._bins.setdefault(job.bin, _Bin()).jobs[job] = None
        job.waiting += tokens
        self._bins[job.bin].tokens += tokens
        self._list(job)

    def _list(self, job: Job) -> None:
        if job.has_pairs and not job.listed:
            job.tag = max(job.tag, self._virtual)
            job.listed = True
            self._arrivals += 1
            heappush(self._fairest, (job.tag, self._arrivals, job))

    def _shrink(self, job: Job, tokens: int) -> None:
        """Count `tokens` less as waiting for `job`."""
        if not tokens or not job.waiting:
            return
        job.waiting -= tokens
        its_bin = self._bins[job.bin]
        its_bin.tokens -= tokens
        if not job.waiting:
            del its_bin.jobs[job]
            if not its_bin.jobs:
                del self._bins[job.bin]

    def _bequeath(self, work: Work) -> None:
        """Make sure that one of those who still want a pair can take it: it may have stood with the one who left."""
        heir = work.jobs[0]
        heir.put(work)
        self._list(heir)
