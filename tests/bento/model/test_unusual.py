"""The detector of text unlike the training snapshot."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bento.model.engine import UnusableModelError
from bento.model.unusual import MIN_TEXTS, UnusualInputs

VOCABULARY = 1_000


def texts(seed: int, count: int, low: int, high: int, first: int = 0) -> list[list[int]]:
    """Make texts of `low` to `high` tokens with Zipf's frequencies, of the tokens from `first` on."""
    chance = random.Random(seed)
    tokens = range(first, first + 300)
    weights = [1 / (rank + 1) for rank in range(300)]
    return [chance.choices(tokens, weights, k=chance.randint(low, high)) for _ in range(count)]


@pytest.fixture(scope="module")
def detector() -> UnusualInputs:
    return UnusualInputs.fit(texts(1, 2_000, 3, 20), texts(2, 4_000, 20, 120), VOCABULARY)


def test_flags_new_texts_of_the_same_kind_at_the_stated_rate(detector: UnusualInputs) -> None:
    queries, documents = texts(3, 4_000, 3, 20), texts(4, 4_000, 20, 120)
    assert 0 < np.mean([detector.flags_query(ids) for ids in queries]) < 0.02
    assert 0 < np.mean([detector.flags_document(ids) for ids in documents]) < 0.02


def test_flags_text_of_other_words(detector: UnusualInputs) -> None:
    assert all(detector.flags_document(ids) for ids in texts(5, 200, 20, 120, first=500))
    assert np.mean([detector.flags_query(ids) for ids in texts(6, 200, 8, 20, first=500)]) > 0.95


def test_flags_repetition_of_usual_words(detector: UnusualInputs) -> None:
    assert detector.flags_document([5] * 60)
    assert detector.flags_document([7, 8, 9] * 25)


def test_flags_lengths_far_outside(detector: UnusualInputs) -> None:
    usual = texts(7, 1, 100, 100)[0]
    assert not detector.flags_document(usual)
    assert detector.flags_document(usual * 3)
    assert detector.flags_document(usual[:5])
    assert detector.flags_document([])
    assert detector.flags_query([])


def test_flags_a_pair_when_either_side_is_unusual(detector: UnusualInputs) -> None:
    query, document, strange = texts(8, 1, 12, 12)[0], texts(9, 1, 60, 60)[0], texts(10, 1, 60, 60, first=500)[0]
    assert not detector.flags(query, document)
    assert detector.flags(query, strange)
    assert detector.flags(strange, document)


def test_a_loaded_detector_gives_the_same_verdicts(detector: UnusualInputs, tmp_path: Path) -> None:
    detector.save(tmp_path)
    loaded = UnusualInputs.load(tmp_path)
    assert loaded is not None
    assert loaded.vocabulary_size == VOCABULARY
    mixed = texts(11, 300, 1, 200) + texts(12, 300, 1, 200, first=200)
    assert [loaded.flags(ids, ids) for ids in mixed] == [detector.flags(ids, ids) for ids in mixed]


def test_no_file_is_no_detector_and_a_broken_one_says_so(detector: UnusualInputs, tmp_path: Path) -> None:
    assert UnusualInputs.load(tmp_path) is None
    detector.save(tmp_path)
    file = tmp_path / "inputs.npz"
    whole = file.read_bytes()
    for broken in (b"", b"no archive", whole[: len(whole) // 2], whole[:-30]):
        file.write_bytes(broken)
        with pytest.raises(UnusableModelError, match=r"inputs\.npz is broken: package the model again"):
            UnusualInputs.load(tmp_path)
    np.savez(file, surprisal=np.zeros((2, 5), np.uint8), by_length=np.zeros((2, 3)), limits=np.zeros(2))
    with pytest.raises(UnusableModelError):
        UnusualInputs.load(tmp_path)
    np.savez(file, surprisal=np.array([{}], dtype=object))  # a pickle must never be opened
    with pytest.raises(UnusableModelError):
        UnusualInputs.load(tmp_path)


def test_refuses_what_it_cannot_learn_from() -> None:
    enough = texts(13, MIN_TEXTS * 2, 20, 30)
    with pytest.raises(ValueError, match="1 distinct documents are too few"):
        UnusualInputs.fit(enough, [enough[0]] * 500, VOCABULARY)
    with pytest.raises(ValueError, match="beyond the vocabulary of 100"):
        UnusualInputs.fit(enough, enough, 100)


@given(st.integers(0, 1_000), st.lists(st.integers(0, VOCABULARY - 1), max_size=600))
def test_any_snapshot_gives_a_verdict_on_any_text(seed: int, ids: list[int]) -> None:
    chance = random.Random(seed)
    few = [[chance.randrange(VOCABULARY)] * chance.randint(1, 3) + [n] for n in range(MIN_TEXTS)]
    detector = UnusualInputs.fit(few, few, VOCABULARY)
    assert detector.flags(ids, ids) in (True, False)
    assert sum(detector.flags_query(text) for text in few) < MIN_TEXTS / 2
