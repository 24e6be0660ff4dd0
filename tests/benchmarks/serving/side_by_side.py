"""Throughput of all systems on unique texts, in rounds, so that a change of the machine's mood meets all of them."""

from collections.abc import Iterator

from tests.benchmarks.serving.bench import WARM_SECONDS, Bench
from tests.benchmarks.serving.report import Line, at_least, fact


def documents(bench: Bench) -> Iterator[Line]:
    """10 documents of about 84 tokens, 4 clients."""
    rates = _rates(bench, documents=10, tokens=84, clients=4, names=["service", "infinity int8", "infinity torch"])
    part = "10 x 84 tokens, 4 clients"
    for name, measured in rates.items():
        yield fact(part, name, measured, "pairs/s")
    for name, limit in (("infinity int8", 1.3), ("infinity torch", 4.0), ("bare engine", 0.85)):
        ratios = [own / other for own, other in zip(rates["service"], rates[name], strict=True)]
        yield at_least(part, f"service / {name}", ratios, limit, "")


def single_pairs(bench: Bench) -> Iterator[Line]:
    """One pair of about 30 tokens, 16 clients."""
    rates = _rates(bench, documents=1, tokens=30, clients=16, names=["service", "infinity int8"])
    part = "1 x 30 tokens, 16 clients"
    for name, measured in rates.items():
        yield fact(part, name, measured, "pairs/s")
    ratios = [own / other for own, other in zip(rates["service"], rates["infinity int8"], strict=True)]
    yield at_least(part, "service / infinity int8", ratios, 2.0, "")


def _rates(bench: Bench, documents: int, tokens: int, clients: int, names: list[str]) -> dict[str, list[float]]:
    """Return pairs a second of each system and of the bare engine, in each round."""
    count = bench.enough(documents, tokens)
    for name in names:
        bench.rate(name, bench.texts.requests(count, documents, tokens), clients, WARM_SECONDS)
    rates: dict[str, list[float]] = {name: [] for name in [*names, "bare engine"]}
    for _ in range(bench.rounds):
        requests = bench.texts.requests(count, documents, tokens)
        for name in names:
            rate, _ = bench.rate(name, requests, clients)
            rates[name].append(rate * documents)
        pairs = [pair for request in requests for pair in request.pairs]
        rates["bare engine"].append(bench.bare.throughput(pairs, bench.seconds))
    return rates
