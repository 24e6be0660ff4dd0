"""Tokens are those that the network was trained on, whatever the text."""

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bento.model.tokenization import MIN_CHARACTERS, PairTokenizer
from tests.bento.tiny_model import MAX_LENGTH, WORDS, exported, trained

words = st.lists(st.sampled_from([*WORDS, "unheard", "Ümläut", "☀", "日本", "don't", "\u200b"]), max_size=80).map(
    " ".join
)
queries = st.one_of(words, st.text(max_size=60), st.just(""))
texts = queries | words.map(lambda text: text * 200)
"""Only documents are so long that they are cut before they are tokenised: where both sides are, it is no longer known
which of them had more tokens, and the odd one of the room may go to the other side than in training."""


@functools.cache
def tokenizer() -> PairTokenizer:
    return PairTokenizer(exported().folder, MAX_LENGTH)


@functools.cache
def reference() -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(trained()), device="cpu").tokenizer


def as_trained(query: str, document: str) -> tuple[list[int], list[int]]:
    # As CrossEncoder does, in lists: alone, an empty document would be taken for none.
    encoded = reference()([query], [document], truncation="longest_first", max_length=MAX_LENGTH)
    return encoded["input_ids"][0], encoded["token_type_ids"][0]


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(queries, texts), max_size=6))
def test_pairs_are_encoded_as_in_training(pairs: list[tuple[str, str]]) -> None:
    encoded = tokenizer().encode(pairs)
    assert [(pair.ids, pair.type_ids) for pair in encoded] == [as_trained(*pair) for pair in pairs]


@settings(max_examples=50, deadline=None)
@given(query=words, document=words, most=st.integers(1, 60))
def test_the_document_alone_is_cut_first(query: str, document: str, most: int) -> None:
    (whole,) = tokenizer().token_ids([document])
    (pair,) = tokenizer().encode([(query, document)], max_document_tokens=most)
    left = sum(pair.type_ids) - 1
    assert left <= most
    assert pair.ids[-1 - left : -1] == whole[:left]
    assert pair.truncated == (left < len(whole))


def test_a_cut_is_told_whichever_it_was() -> None:
    encode = tokenizer().encode
    far_too_long = "a" * (MIN_CHARACTERS + 1)  # one word that the vocabulary does not have, so one token
    cut = [pair.truncated for pair in encode([("sort", "list"), ("sort", "list " * 60), ("sort", far_too_long)])]
    assert cut == [False, True, True]
    assert encode([("sort", "list in python")], max_document_tokens=2)[0].truncated
    assert not encode([("sort " * 60, "list")])[0].truncated, "the query alone was cut"


def test_half_a_surrogate_pair_spoils_nothing() -> None:
    broken, whole = tokenizer().encode([("sort \ud800 list", "the \udfff mat"), ("sort", "list")])
    assert (broken.ids, whole.ids) == (
        as_trained("sort \ufffd list", "the \ufffd mat")[0],
        as_trained("sort", "list")[0],
    )


@pytest.mark.parametrize("size", [0, 1, 40])
def test_order_and_repetition_are_kept(size: int) -> None:
    pairs = [(WORDS[n % 3], WORDS[n % 5]) for n in range(size)]
    assert [pair.ids for pair in tokenizer().encode(pairs)] == [as_trained(*pair)[0] for pair in pairs]
