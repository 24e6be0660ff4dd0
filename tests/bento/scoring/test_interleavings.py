"""Whatever requests, cancellations and failures come in whatever order: everybody gets their own scores."""

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from bento.errors import RefusedError
from tests.bento.scoring.doubles import Bench, expected, play

words = st.sampled_from(["a", "b", "c", "d", "e f g h i j k l", "raises", "nonumber", "unreadable"])
documents = st.lists(st.lists(words, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=8)
BAD = {"raises", "nonumber", "unreadable"}


@dataclass(frozen=True)
class Asked:
    query: str
    documents: list[str]
    after: float
    """Milliseconds since the one before."""
    patience: float | None
    """Milliseconds until it is cancelled."""
    seconds: float
    """To its deadline."""


asked = st.builds(
    Asked,
    st.sampled_from(["q", "r"]),
    documents,
    st.sampled_from([0, 0, 0.5, 3]),
    st.none() | st.sampled_from([0, 0.2, 1, 4]),
    st.sampled_from([0.001, 0.004, 60, 60]),
)


@settings(max_examples=120, deadline=None)
@given(requests=st.lists(asked, max_size=14), cache_bytes=st.sampled_from([0, 2**20]), streams=st.integers(1, 3))
def test_every_live_request_gets_exactly_its_own_scores(
    requests: list[Asked], cache_bytes: int, streams: int
) -> None:
    async def story() -> None:
        bench = await Bench(streams=streams, cache_bytes=cache_bytes, batch_tokens=16).start()
        started = []
        for request in requests:
            await asyncio.sleep(request.after / 1_000)
            task = asyncio.create_task(bench.score(request.query, request.documents, request.seconds))
            if request.patience is not None:
                bench.loop.call_later(request.patience / 1_000, task.cancel)
            started.append(task)
        answers = await asyncio.gather(*started, return_exceptions=True)
        for request, answer in zip(requests, answers, strict=True):
            bad = any(BAD & set(text.split()) for text in request.documents)
            if isinstance(answer, list):
                assert not bad
                assert answer == expected(request.query, request.documents)
            elif isinstance(answer, RefusedError):
                assert answer.status != 500 or bad
                assert answer.status == 500 or request.seconds < 1
                assert answer.status in {429, 500, 504}
            else:
                assert isinstance(answer, asyncio.CancelledError)
                assert request.patience is not None
        assert bench.scorer.queued_tokens == 0
        assert bench.sample("reranker_queue_tokens") == 0
        assert await bench.score("q", ["afterwards"]) == expected("q", ["afterwards"])
        await bench.scorer.close()

    play(story)
