"""Batches hold every pair once, in few shapes."""

from hypothesis import given
from hypothesis import strategies as st

from bento.model.batches import batches
from bento.model.encoded import EncodedPair


def pair(length: int) -> EncodedPair:
    return EncodedPair(list(range(1, length + 1)), [0] + [1] * (length - 1), truncated=False, unusual=False)


@given(
    lengths=st.lists(st.integers(2, 130), max_size=40),
    tokens=st.sampled_from([1, 128, 1_000]),
    step=st.sampled_from([1, 8]),
)
def test_every_pair_is_in_one_row_of_a_batch_within_the_budget(lengths: list[int], tokens: int, step: int) -> None:
    pairs = [pair(length) for length in lengths]
    seen = []
    for batch in batches(pairs, tokens, step):
        rows, length = batch.inputs["input_ids"].shape
        assert len(batch.positions) == rows == 1 << (rows.bit_length() - 1)
        assert length % step == 0
        assert rows == 1 or rows * length <= tokens
        seen += batch.positions
        for row, position in enumerate(batch.positions):
            size = len(pairs[position])
            ids, mask, types = (values[row].tolist() for values in batch.inputs.values())
            assert ids == pairs[position].ids + [0] * (length - size)
            assert mask == [1] * size + [0] * (length - size)
            assert types == pairs[position].type_ids + [0] * (length - size)
    assert sorted(seen) == list(range(len(pairs)))
