"""What the parts share."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.serving.answers import Reference, check
from tests.benchmarks.serving.bare import BareEngine
from tests.benchmarks.serving.load import LoadGenerator, Outcome, completed
from tests.benchmarks.serving.systems import System
from tests.benchmarks.serving.texts import Request, Texts

WARM_SECONDS = 2.0
"""What each system gets before it is measured; longer than any library takes to settle."""


@dataclass(frozen=True)
class Bench:
    """Everything that runs, and for how long it is measured."""

    load: LoadGenerator
    texts: Texts
    bare: BareEngine
    systems: dict[str, System]
    references: dict[str, Reference]
    seconds: float
    """Of each system in each round."""
    rounds: int

    def rate(
        self, name: str, requests: Sequence[Request], clients: int, seconds: float | None = None
    ) -> tuple[float, list[Outcome]]:
        """Return how many requests a second are answered, all rightly (else WrongAnswers), and the outcomes."""
        seconds = seconds or self.seconds
        outcomes = self.load.closed(self.systems[name].target, [r.body for r in requests], clients, seconds)
        check(name, requests, outcomes, self.references[name])
        time.sleep(0.2)  # threads that spin for more work go to sleep before the next is measured
        return completed(outcomes, seconds) / seconds, outcomes

    def enough(self, documents: int, tokens: int) -> int:
        """Return how many requests no server can answer in a window, by the speed of the bare engine, and tune it."""
        pairs = [pair for r in self.texts.requests(8_000 // documents, documents, tokens) for pair in r.pairs]
        fastest = self.bare.tune(pairs, WARM_SECONDS)
        return int(fastest * max(self.seconds, WARM_SECONDS) * 2 / documents) + 200
