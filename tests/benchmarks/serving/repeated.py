"""Traffic that repeats itself, as real questions do."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.serving.answers import WrongAnswers, check
from tests.benchmarks.serving.bench import Bench
from tests.benchmarks.serving.load import completed
from tests.benchmarks.serving.report import Line, at_least, at_most
from tests.benchmarks.serving.texts import Request

DOCUMENTS = 10
"""Of each query; a request asks for one."""
TOKENS = 30
CLIENTS = 16
EXPONENT = 1.0
MOST_PER_SECOND = 20_000
"""No service here answers more requests."""


def zipf(bench: Bench, pairs: int) -> Iterator[Line]:
    """One of `pairs` a request, drawn by Zipf's law, after each was scored once."""
    whole = bench.texts.requests(pairs // DOCUMENTS, DOCUMENTS, TOKENS)
    system = bench.systems["service"]
    warming = bench.load.all(system.target, [request.body for request in whole], 4)
    check("service", whole, warming, bench.references["service"])

    single = [Request(request.query, (document,)) for request in whole for document in request.documents]
    bodies = [request.body for request in single]
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, len(single) + 1) ** EXPONENT
    popular = random.permutation(len(single))
    rates, slowest, errors = [], [], 0
    for _ in range(bench.rounds):
        drawn = random.choice(popular, int(MOST_PER_SECOND * bench.seconds), p=weights / weights.sum())
        outcomes = bench.load.closed(system.target, bodies, CLIENTS, bench.seconds, drawn.tolist())
        good = [outcome for outcome in outcomes if outcome.reply.status == 200]
        if not good:
            raise WrongAnswers("service: no answer to repeated requests")
        check("service", single, good, bench.references["service"])
        errors += len(outcomes) - len(good)
        rates.append(completed(outcomes, bench.seconds) / bench.seconds)
        slowest.append(float(np.percentile([outcome.seconds for outcome in outcomes], 99)) * 1_000)
    part = f"Zipf over {len(single):,} pairs, {CLIENTS} clients"
    yield at_least(part, "service", rates, 1_000, "requests/s")
    yield at_most(part, "service, p99", slowest, 100, "ms")
    yield at_most(part, "errors", [errors], 0, "requests")
