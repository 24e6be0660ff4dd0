"""On a real engine, in real threads."""

import asyncio
import time
from pathlib import Path

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from bento.configuration import ServiceSettings
from bento.model.model import Model
from bento.scoring.scorer import Scorer
from bento.telemetry.metrics import Metrics
from tests.bento.tiny_model import WORDS


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Model:
    return Model.open(model_folder, threads=2)


def test_scores_are_those_of_the_engine(model: Model) -> None:
    requests = [
        [
            (f"how {WORDS[number]}", " ".join(WORDS[(number + place) % len(WORDS) :] * (1 + place % 4)))
            for place in range(count)
        ]
        for number, count in enumerate([1, 40, 3, 300, 10])
    ]

    async def story() -> None:
        scorer = Scorer(model, ServiceSettings(), Metrics("tiny:1", CollectorRegistry()))
        await scorer.start()
        deadline = time.monotonic() + 60
        answers = await asyncio.gather(*(scorer.score(pairs, deadline=deadline) for pairs in requests))
        for pairs, answer in zip(requests, answers, strict=True):
            encoded = model.encode(pairs)
            logits = [float(model.engine.run([pair])[0]) for pair in encoded]
            assert [pair.logit for pair in answer] == pytest.approx(logits, abs=1e-5)
            assert [pair.tokens for pair in answer] == [len(pair) for pair in encoded]
            assert [pair.truncated for pair in answer] == [pair.truncated for pair in encoded]
        await scorer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
