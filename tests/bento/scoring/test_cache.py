"""The cache: its bound, its order, and that no pair ever gets another's score."""

import gc
import os
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bento.scoring.cache import ENTRY_BYTES, TABLE_BYTES, ScoreCache
from bento.scoring.keys import KEY_BYTES, PairKeys
from bento.scoring.scored import ScoredPair

texts = st.text(max_size=8)


def scored(logit: float, cached: bool = False) -> ScoredPair:
    return ScoredPair(logit, 300 + int(logit) % 100, truncated=False, unusual=False, cached=cached)


@given(
    capacity=st.integers(0, 6),
    steps=st.lists(st.tuples(st.sampled_from(["get", "put"]), st.integers(0, 9)), max_size=60),
)
def test_it_keeps_what_was_asked_for_last(capacity: int, steps: list[tuple[str, int]]) -> None:
    cache = ScoreCache(TABLE_BYTES + capacity * ENTRY_BYTES + ENTRY_BYTES - 1)
    model: OrderedDict[int, float] = OrderedDict()
    for number, (step, name) in enumerate(steps):
        key = name.to_bytes(KEY_BYTES)
        if step == "put":
            cache.put(key, scored(float(number)))
            model[name] = float(number)
        found = cache.get(key)
        if name in model:
            model.move_to_end(name)
        while len(model) > capacity:
            model.popitem(last=False)
        assert found == (scored(model[name], cached=True) if name in model else None)
        assert len(cache) == len(model)


@pytest.mark.parametrize("max_bytes", [0, 1, TABLE_BYTES])
def test_no_bytes_are_no_cache(max_bytes: int) -> None:
    cache = ScoreCache(max_bytes)
    cache.put(b"k" * KEY_BYTES, scored(1.0))
    assert len(cache) == 0
    assert cache.get(b"k" * KEY_BYTES) is None


@pytest.mark.parametrize("entries", [10, 100, 5_462, 11_000, 21_846])
def test_it_never_takes_more_memory_than_it_may(entries: int) -> None:
    limit = TABLE_BYTES + entries * ENTRY_BYTES
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache = ScoreCache(limit)
        worst = 0
        for number in range(entries * 2):  # filled, then all of it changed
            cache.put(os.urandom(KEY_BYTES), scored(number + 0.5))
            worst = max(worst, tracemalloc.get_traced_memory()[0] - before)
        assert len(cache) == entries
    finally:
        tracemalloc.stop()
    assert limit / 3 < worst <= limit


@given(
    pairs=st.lists(st.tuples(texts, texts), min_size=2, max_size=2),
    limits=st.lists(st.none() | st.integers(1, 3), min_size=2, max_size=2),
    lengths=st.lists(st.sampled_from([64, 128]), min_size=2, max_size=2),
    digests=st.lists(st.sampled_from(["a", "ab", "b"]), min_size=2, max_size=2),
)
def test_keys_are_equal_only_when_everything_is(
    pairs: list[tuple[str, str]], limits: list[int | None], lengths: list[int], digests: list[str]
) -> None:
    one, other = (PairKeys(digests[n], lengths[n]).of([pairs[n]], limits[n])[0] for n in (0, 1))
    alike = pairs[0] == pairs[1] and limits[0] == limits[1] and lengths[0] == lengths[1] and digests[0] == digests[1]
    assert (one == other) == alike
    assert len(one) == KEY_BYTES


@given(
    texts=st.text("ab", max_size=6),
    cuts=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_where_the_query_ends_matters(texts: str, cuts: tuple[int, int]) -> None:
    keys = PairKeys("d", 64).of([(texts[:cut], texts[cut:]) for cut in cuts], None)
    assert (keys[0] == keys[1]) == (texts[: cuts[0]] == texts[: cuts[1]])


@given(st.lists(st.tuples(st.sampled_from(["", "q", "Q\ud800"]), texts), max_size=6))
def test_a_key_does_not_depend_on_the_pairs_beside_it(pairs: list[tuple[str, str]]) -> None:
    keys = PairKeys("d", 64)
    assert keys.of(pairs, 5) == [keys.of([pair], 5)[0] for pair in pairs]
