"""The scorer as its callers see it: right scores, in turn, in time, and failures that stay where they belong."""

import asyncio
import logging
import math

import pytest

from bento.errors import RefusedError
from tests.bento.scoring.doubles import MAX_LENGTH, SECRET, TOKENS_PER_SECOND, Bench, expected, play, texts


def test_scores_come_in_the_order_given() -> None:
    async def story() -> None:
        bench = await Bench().start()
        documents = [*texts(20, 3), *texts(20, 90, "long"), "", "same", "same"]
        assert await bench.score("q", documents) == expected("q", documents)
        pairs = [("one", "a b"), ("two", "a b"), ("one", "c")]
        scored = await bench.scorer.score(pairs, deadline=bench.loop.time() + 9)
        assert [pair.logit for pair in scored] == [expected(*[q, [d]])[0] for q, d in pairs]
        assert [pair.tokens for pair in scored] == [3, 3, 2]
        assert await bench.score("q", []) == []

    play(story)


def test_what_was_cut_is_said() -> None:
    async def story() -> None:
        bench = await Bench().start()
        pairs = [("q", "w " * MAX_LENGTH), ("q", "short")]
        for cached in (False, True):
            scored = await bench.scorer.score(pairs, deadline=bench.loop.time() + 9)
            assert [(pair.truncated, pair.tokens, pair.cached) for pair in scored] == [
                (True, MAX_LENGTH, cached),
                (False, 2, cached),
            ]
        (cut,) = await bench.scorer.score([("q", "a b c d")], deadline=bench.loop.time() + 9, max_document_tokens=2)
        (whole,) = await bench.scorer.score([("q", "a b c d")], deadline=bench.loop.time() + 9)
        assert cut.logit == expected("q", ["a b"])[0]
        assert whole.logit == expected("q", ["a b c d"])[0]

    play(story)


def test_known_pairs_need_no_turn_of_the_loop() -> None:
    async def story() -> None:
        bench = await Bench().start()
        documents = texts(10)
        await bench.score("q", documents)
        known = bench.scorer.score([("q", text) for text in documents], deadline=0.0)
        with pytest.raises(StopIteration) as answer:  # a coroutine that never waits ends at its first step
            known.send(None)
        assert [pair.logit for pair in answer.value.value] == expected("q", documents)
        assert all(pair.cached for pair in answer.value.value)

    play(story)


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_equal_pairs_are_read_once(cache_bytes: int) -> None:
    async def story() -> None:
        bench = await Bench(cache_bytes=cache_bytes).start()
        documents = ["a b", "c d", "a b"]
        both = await asyncio.gather(bench.score("q", documents), bench.score("q", documents))
        assert both == [expected("q", documents)] * 2
        assert bench.read == 2
        await bench.score("q", documents)
        assert bench.read == (2 if cache_bytes else 4)

    play(story)


def test_a_cancelled_owner_leaves_its_pairs_to_who_joined() -> None:
    async def story() -> None:
        bench = await Bench(streams=1).start()
        blocker = asyncio.create_task(bench.score("blocker", texts(6, 120)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # its micro-batch is in the engine
        owner = asyncio.create_task(bench.score("q", ["shared", "mine"]))
        await asyncio.sleep(0)
        joiner = asyncio.create_task(bench.score("q", ["shared"]))
        await asyncio.sleep(0)
        assert bench.scorer.queued_tokens == 4
        owner.cancel()
        assert await joiner == expected("q", ["shared"])
        await blocker
        with pytest.raises(asyncio.CancelledError):
            await owner
        assert bench.read == 7
        assert bench.scorer.queued_tokens == 0

    play(story)


def test_who_hangs_up_is_not_worked_for() -> None:
    async def story() -> None:
        bench = await Bench(streams=1).start()
        request = asyncio.create_task(bench.score("q", texts(500, 9)))
        while not bench.engine.batches:
            await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert bench.scorer.queued_tokens == 0
        assert bench.sample("reranker_queue_tokens") == 0
        assert await bench.score("q", ["later"]) == expected("q", ["later"])
        assert len(bench.engine.batches) == 2

    play(story)


def test_one_document_does_not_wait_for_a_thousand() -> None:
    async def story() -> None:
        bench = await Bench().start()
        large = asyncio.create_task(bench.score("large", texts(1_000, 100)))
        await asyncio.sleep(0.2)
        start, batches = bench.loop.time(), len(bench.engine.batches)
        await bench.score("small", ["just one"])
        assert len(bench.engine.batches) - batches <= 4
        assert bench.loop.time() - start < 3 * 768 / TOKENS_PER_SECOND  # seconds, of the 5 that the large one takes
        assert not large.done()
        assert await large == expected("large", texts(1_000, 100))

    play(story)


def test_scoring_begins_before_all_is_tokenised() -> None:
    async def story() -> None:
        bench = await Bench().start()
        large = asyncio.create_task(bench.score("q", texts(1_000, 100)))
        while not bench.engine.batches:
            await asyncio.sleep(0)
        assert bench.model.encoded < 500
        assert bench.scorer.queued_tokens > 0
        await large
        assert bench.scorer.queued_tokens == 0

    play(story)


@pytest.mark.parametrize("fault", ["raises", "nonumber", "unreadable"])
def test_one_bad_pair_fails_its_request_alone(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        bench = await Bench(streams=1).start()
        good, bad = ["one", "two"], ["three", f"{fault} four"]
        answers = await asyncio.gather(
            bench.score("q", good), bench.score("q", bad), bench.score("other", good), return_exceptions=True
        )
        assert answers[0] == expected("q", good)
        assert answers[2] == expected("other", good)
        failure = answers[1]
        assert isinstance(failure, RefusedError)
        assert (failure.status, failure.kind) == (500, "internal_error")
        assert SECRET not in failure.message + caplog.text
        assert "four" not in failure.message + caplog.text
        with pytest.raises(RefusedError):  # no score is no score the next time either
            await bench.score("q", bad)
        assert bench.scorer.queued_tokens == 0

    with caplog.at_level(logging.DEBUG):
        play(story)


def test_a_hung_engine_lets_requests_end_and_is_told() -> None:
    async def story() -> None:
        bench = await Bench(timeout=30).start()
        bench.executor.hangs = True
        start = bench.loop.time()
        for seconds in (5, 7):
            with pytest.raises(RefusedError) as refusal:
                await bench.score("q", texts(50), seconds=seconds)
            assert (refusal.value.status, refusal.value.kind) == (504, "deadline_exceeded")
        assert bench.loop.time() - start == pytest.approx(12)
        assert bench.scorer.queued_tokens == 0
        assert bench.scorer.fault() is None
        await asyncio.sleep(30)
        assert "not answered" in (bench.scorer.fault() or "")
        await bench.scorer.close()

    play(story)


def test_a_deadline_that_is_over_is_told_at_once() -> None:
    async def story() -> None:
        bench = await Bench().start()
        with pytest.raises(RefusedError) as refusal:
            await bench.score("q", ["d"], seconds=0)
        assert refusal.value.status == 504
        assert bench.model.encoded == 0

    play(story)


def test_more_than_can_be_read_in_time_is_refused_before_it_is_tokenised() -> None:
    async def story() -> None:
        bench = await Bench().start()
        with pytest.raises(RefusedError) as refusal:
            await bench.score("q", texts(1_000, 100), seconds=5)
        assert (refusal.value.status, refusal.value.kind) == (429, "overloaded")
        assert int(refusal.value.headers["retry-after"]) >= 1
        assert bench.model.encoded == 0

    play(story)


def test_a_large_request_is_taken_when_nothing_else_waits() -> None:
    async def story() -> None:
        bench = await Bench(max_queue_tokens=1_000).start()
        large = asyncio.create_task(bench.score("q", texts(400, 100)))
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as refusal:
            await bench.score("q", ["one more"])
        assert refusal.value.status == 429
        assert int(refusal.value.headers["retry-after"]) >= 2  # 40,000 tokens at 20,000 a second
        await large

    play(story)


def test_known_pairs_cost_no_admission() -> None:
    async def story() -> None:
        bench = await Bench(max_queue_tokens=100).start()
        await bench.score("q", ["known"])
        large = asyncio.create_task(bench.score("q", texts(400, 100)))
        await asyncio.sleep(0)
        assert await bench.score("q", ["known"]) == expected("q", ["known"])
        await large

    play(story)


def test_four_times_its_capacity_is_refused_in_part_and_answered_in_time() -> None:
    """Two minutes of it; requests of 1 to 120 documents, deadlines of 4 to 12 seconds."""

    async def story() -> None:
        bench = await Bench(timeout=12).start()
        outcomes: list[tuple[int, float]] = []

        async def request(number: int) -> None:
            documents = texts((1, 5, 20, 120)[number % 4], 10 + number * 7 % 90, name=f"r{number}-")
            seconds = (4, 8, 12)[number % 3]
            start = bench.loop.time()
            try:
                assert await bench.score("q", documents, seconds) == expected("q", documents)
            except RefusedError as refusal:
                assert bench.loop.time() == start
                outcomes.append((refusal.status, float(refusal.headers["retry-after"])))
            else:
                outcomes.append((200, seconds - (bench.loop.time() - start)))

        mean_tokens = (1 + 5 + 20 + 120) / 4 * 56
        capacity = 2 * TOKENS_PER_SECOND / mean_tokens
        async with asyncio.TaskGroup() as group:
            for number in range(int(120 * 4 * capacity)):
                group.create_task(request(number))
                await asyncio.sleep(1 / (4 * capacity))
        statuses = [status for status, _ in outcomes]
        assert set(statuses) == {200, 429}
        assert min(left for status, left in outcomes if status == 200) > 0
        assert min(wait for status, wait in outcomes if status == 429) >= 1
        assert bench.sample("reranker_tokens_total") > 0.9 * 120 * 2 * TOKENS_PER_SECOND  # and all of it used
        assert bench.scorer.queued_tokens == 0

    play(story)


def test_metrics_tell_what_the_engine_read() -> None:
    async def story() -> None:
        bench = await Bench(streams=1).start()
        await bench.score("q", ["a", "a b c"])
        assert bench.sample("reranker_tokens_total") == 6
        assert bench.sample("reranker_padding_tokens_total") == 2
        for stage in ("tokenise", "queue", "engine"):
            assert bench.sample("reranker_stage_seconds_count", stage=stage) == 1
        assert math.isclose(bench.sample("reranker_stage_seconds_sum", stage="engine"), 8 / TOKENS_PER_SECOND)

    play(story)


def test_closing_finishes_what_is_in_flight() -> None:
    async def story() -> None:
        bench = await Bench().start()
        request = asyncio.create_task(bench.score("q", texts(300, 50)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(bench.scorer.close())
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as refusal:
            await bench.score("q", ["late"])
        assert (refusal.value.status, refusal.value.kind) == (503, "unavailable")
        await closing
        assert await request == expected("q", texts(300, 50))

    play(story)
