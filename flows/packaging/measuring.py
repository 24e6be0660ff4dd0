"""Candidate engines side by side on this host: speed, latency, and what they do to the ranking."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bento.model.encoded import EncodedPair
from bento.model.engine import Engine
from bento.model.manifest import EngineChoice
from bento.model.model import open_engine
from bento.model.tokenization import PairTokenizer

LONG, SHORT = 84, 30
"""Tokens of the pairs whose speed is measured: a paragraph, and a sentence or two."""
_ROUNDS = 5
_PAIRS_A_CALL = 6
SPREAD = 0.25
"""Lengths vary by so much, as in the micro-batches of a service: an engine that is fast on equal shapes alone is not
fast there. OpenVINO pays about a millisecond for each change of shape."""


@dataclass(frozen=True)
class Speed:
    """What an engine does with all processors busy; lengths in tokens, about."""

    long_tokens: int
    long_pairs_per_second: float
    short_tokens: int
    short_pairs_per_second: float
    latency_ms: float
    """Of one long pair alone."""

    @property
    def overall(self) -> float:
        """Pairs a second over both lengths, as their geometric mean."""
        return math.sqrt(self.long_pairs_per_second * self.short_pairs_per_second)


class Candidate:
    """An engine that might serve, as a `flows.contracts.scorer.Scorer`."""

    def __init__(self, folder: Path, choice: EngineChoice, tokenizer: PairTokenizer, threads: int) -> None:
        self.choice = choice
        self.name = choice.name
        self._tokenizer = tokenizer
        self.engine: Engine = open_engine(folder, choice, threads)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the relevance in 0..1 of each pair; shape (len(queries),)."""
        pairs = self._tokenizer.encode(list(zip(queries, documents, strict=True)))
        order = sorted(range(len(pairs)), key=lambda position: len(pairs[position]))
        parts = [order[start : start + _PAIRS_A_CALL] for start in range(0, len(order), _PAIRS_A_CALL)]
        logits = np.empty(len(pairs), dtype=np.float64)
        with ThreadPoolExecutor(self.engine.streams) as threads:
            for part, found in zip(
                parts, threads.map(lambda part: self.engine.run([pairs[i] for i in part]), parts), strict=True
            ):
                logits[part] = found
        # The sigmoid, written so that nothing overflows.
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float32)


def speeds(
    candidates: Sequence[Candidate], pairs: Sequence[EncodedPair], seconds: float, progress: Callable[[str], None]
) -> dict[str, Speed]:
    """Measure every candidate, by name, on `pairs` cut to LONG and SHORT; about `seconds` for each and length.

    The best of five rounds counts, since others may use the processors too.
    """
    long, short = sized(pairs, LONG), sized(pairs, SHORT)
    best: dict[str, Speed] = {}
    for _ in range(_ROUNDS):
        for candidate in candidates:
            engine, known = candidate.engine, best.get(candidate.name)
            now = Speed(
                long_tokens=LONG,
                long_pairs_per_second=_throughput(engine, long, seconds / _ROUNDS),
                short_tokens=SHORT,
                short_pairs_per_second=_throughput(engine, short, seconds / _ROUNDS),
                latency_ms=_latency_ms(engine, long, seconds / _ROUNDS / 4),
            )
            best[candidate.name] = now if known is None else _better(known, now)
    for name, speed in best.items():
        progress(
            f"{name}: {speed.long_pairs_per_second:.0f} pairs/s of {speed.long_tokens} tokens, "
            f"{speed.short_pairs_per_second:.0f} of {speed.short_tokens}; one alone takes {speed.latency_ms:.1f} ms"
        )
    return best


def sized(pairs: Sequence[EncodedPair], tokens: int) -> list[EncodedPair]:
    """Return the pairs that are long enough, cut to about `tokens`; where there is none, the longest as they are."""
    longest = max(map(len, pairs))
    least, most = (min(longest, round(tokens * share)) for share in (1 - SPREAD, 1 + SPREAD))
    enough = [pair for pair in pairs if len(pair) >= most]
    lengths = (least + place * 7 % (most - least + 1) for place in range(len(enough)))
    return [
        EncodedPair([*pair.ids[: length - 1], pair.ids[-1]], pair.type_ids[:length], truncated=True, unusual=False)
        for pair, length in zip(enough, lengths, strict=True)
    ]


def _throughput(engine: Engine, pairs: Sequence[EncodedPair], seconds: float) -> float:
    calls = [pairs[start : start + _PAIRS_A_CALL] for start in range(0, len(pairs), _PAIRS_A_CALL)]
    engine.run(calls[0])

    def work(number: int) -> int:
        done = 0
        while time.perf_counter() < until:
            call = calls[number % len(calls)]
            engine.run(call)
            done += len(call)
            number += engine.streams
        return done

    with ThreadPoolExecutor(engine.streams) as threads:
        start = time.perf_counter()
        until = start + seconds
        done = sum(threads.map(work, range(engine.streams)))
        return done / (time.perf_counter() - start)


def _latency_ms(engine: Engine, pairs: Sequence[EncodedPair], seconds: float) -> float:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        start = time.perf_counter()
        engine.run([pairs[len(taken) % len(pairs)]])
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)) * 1_000


def _better(one: Speed, other: Speed) -> Speed:
    return replace(
        one,
        long_pairs_per_second=max(one.long_pairs_per_second, other.long_pairs_per_second),
        short_pairs_per_second=max(one.short_pairs_per_second, other.short_pairs_per_second),
        latency_ms=min(one.latency_ms, other.latency_ms),
    )
