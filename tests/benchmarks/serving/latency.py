"""One client that waits for each answer: what the service adds to the engine's own time."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.serving.bench import WARM_SECONDS, Bench
from tests.benchmarks.serving.report import Line, at_most, fact

TOKENS = 84


def single_client(bench: Bench) -> Iterator[Line]:
    """One pair of 84 tokens a request, one client."""
    count = bench.enough(documents=1, tokens=TOKENS)
    bench.rate("service", bench.texts.requests(count, 1, TOKENS), 1, WARM_SECONDS)
    served: list[list[float]] = []
    bare: list[list[float]] = []
    for _ in range(bench.rounds):
        requests = bench.texts.requests(count, 1, TOKENS)
        _, outcomes = bench.rate("service", requests, 1)
        served.append([outcome.seconds * 1_000 for outcome in outcomes])
        pairs = [pair for request in requests for pair in request.pairs]
        bare.append([seconds * 1_000 for seconds in bench.bare.latencies(pairs, bench.seconds)])
    part = "1 x 84 tokens, 1 client"
    medians = [(float(np.median(own)), float(np.median(engine))) for own, engine in zip(served, bare, strict=True)]
    yield fact(part, "service, median", [own for own, _ in medians], "ms")
    yield fact(part, "bare engine, median", [engine for _, engine in medians], "ms")
    yield at_most(part, "service / bare engine, medians", [own / engine for own, engine in medians], 1.4, "")
    yield fact(part, "bare engine, p99 of all", [float(np.percentile(np.concatenate(bare), 99))], "ms")
    yield at_most(part, "service, p99 of all", [float(np.percentile(np.concatenate(served), 99))], 50, "ms")
