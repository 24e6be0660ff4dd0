"""Bad bodies: each is refused with a message that says what to do, and none breaks anything."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bento.api import Limits, ScoreCheck
from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.exchange import Reply
from tests.bento.api.conftest import MAX_CHARACTERS, MAX_DOCUMENTS, Ask, WordScorer

Refusal = Callable[[str, object], RefusedError]

PATHS = ["/v1/rerank", "/v2/rerank", "/rerank"]

# The same for all shapes with documents: body, status, type, a word of the message.
REFUSED = {
    "no body": (b"", 400, "invalid_json", "JSON"),
    "not json": (b"{query: a}", 400, "invalid_json", "JSON"),
    "two values": (b'{"query": "a", "documents": ["b"]} {}', 400, "invalid_json", "JSON"),
    "broken utf-8": (b'{"query": "\xff\xfe", "documents": ["a"]}', 400, "invalid_json", "UTF-8"),
    "utf-16": ('{"query": "a", "documents": ["a"]}'.encode("utf-16"), 400, "invalid_json", "UTF-8"),
    "byte order mark": (b'\xef\xbb\xbf{"query": "a", "documents": ["a"]}', 400, "invalid_json", "JSON"),
    "lone surrogate": (rb'{"query": "\ud800", "documents": ["a"]}', 400, "invalid_json", "JSON"),
    "not a number": (b'{"query": "a", "documents": ["b"], "top_n": NaN}', 400, "invalid_json", "JSON"),
    "too deep": (b"[" * 100_000, 400, "invalid_json", "JSON"),
    "too deep unknown": (b'{"query": "a", "x": ' + b"[" * 300 + b"]" * 300 + b"}", 400, "invalid_json", "JSON"),
    "too many digits": (b'{"query": "a", "top_n": 1' + b"0" * 5_000 + b"}", 400, "invalid_json", "JSON"),
    "a list": (b"[]", 422, "invalid_request", "object"),
    "a text": (b'"query"', 422, "invalid_request", "object"),
    "null": (b"null", 422, "invalid_request", "object"),
    "no query": (b'{"documents": ["a"]}', 422, "invalid_request", "`query`"),
    "blank query": (b'{"query": " \\n", "documents": ["a"]}', 422, "invalid_request", "`query`"),
    "invisible query": (rb'{"query": "\u001c\u0085", "documents": ["a"]}', 422, "invalid_request", "`query`"),
    "query is a number": (b'{"query": 1, "documents": ["a"]}', 422, "invalid_request", "`query`"),
    "the last of two keys": (b'{"query": "a", "query": 1, "documents": ["a"]}', 422, "invalid_request", "`query`"),
    "no documents": (b'{"query": "a"}', 422, "invalid_request", "`documents`"),
    "empty documents": (b'{"query": "a", "documents": []}', 422, "invalid_request", "`documents`"),
    "documents is a text": (b'{"query": "a", "documents": "b"}', 422, "invalid_request", "`documents`"),
    "documents is an object": (b'{"query": "a", "documents": {"text": "b"}}', 422, "invalid_request", "`documents`"),
    "a number among them": (b'{"query": "a", "documents": ["b", 3]}', 422, "invalid_request", "`documents[1]`"),
    "an object without text": (b'{"query": "a", "documents": [{}]}', 422, "invalid_request", "`documents[0]`"),
    "null text": (b'{"query": "a", "documents": [{"text": null}]}', 422, "invalid_request", "`documents[0]`"),
    "an id of a list": (
        b'{"query": "a", "documents": ["b", {"text": "c", "id": [1]}]}', 422, "invalid_request", "`documents[1]`"
    ),
    "top_n zero": (b'{"query": "a", "documents": ["b"], "top_n": 0}', 422, "invalid_request", "`top_n`"),
    "top_n as text": (b'{"query": "a", "documents": ["b"], "top_n": "1"}', 422, "invalid_request", "`top_n`"),
    "top_n true": (b'{"query": "a", "documents": ["b"], "top_n": true}', 422, "invalid_request", "`top_n`"),
    "top_n infinite": (b'{"query": "a", "documents": ["b"], "top_n": 1e999}', 422, "invalid_request", "`top_n`"),
    "raw_scores as text": (
        b'{"query": "a", "documents": ["b"], "raw_scores": "no"}', 422, "invalid_request", "`raw_scores`"
    ),
    "no tokens": (
        b'{"query": "a", "documents": ["b"], "max_tokens_per_doc": 0}', 422, "invalid_request", "`max_tokens_per_doc`"
    ),
    "too many documents": (
        json.dumps({"query": "a", "documents": ["b"] * (MAX_DOCUMENTS + 1)}).encode(),
        422, "invalid_request", "RERANKER_SERVICE_MAX_DOCUMENTS",
    ),
    "too many characters": (
        json.dumps({"query": "a", "documents": ["b" * MAX_CHARACTERS]}).encode(),
        422, "invalid_request", "RERANKER_SERVICE_MAX_CHARACTERS",
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("body", "status", "kind", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_and_says_what_to_do(
    refusal: Refusal, scorer: WordScorer, path: str, body: bytes, status: int, kind: str, word: str
) -> None:
    refused = refusal(path, body)
    assert (refused.status, refused.kind) == (status, kind)
    assert word in refused.message
    assert scorer.calls == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"texts": ["a"]}, "`query`"),
        ({"query": "a", "texts": []}, "`texts`"),
        ({"query": "a", "texts": ["b", {"text": "c"}]}, "`texts[1]`"),
        ({"query": "a", "texts": None, "documents": ["b"]}, "`texts`"),
        ({"query": "a", "texts": ["b"], "return_text": 1}, "`return_text`"),
        ({"query": "a", "texts": ["b"], "truncate": "yes"}, "`truncate`"),
        ({"query": "a", "texts": ["b"], "truncation_direction": "left"}, "`truncation_direction`"),
        ({"query": "a", "texts": ["b"] * (MAX_DOCUMENTS + 1)}, "`texts` has 121"),
    ],
)
def test_refuses_in_the_words_of_text_embeddings_inference(refusal: Refusal, body: object, word: str) -> None:
    refused = refusal("/rerank", body)
    assert (refused.status, refused.kind) == (422, "invalid_request")
    assert word in refused.message


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_return_documents_must_be_true_or_false(refusal: Refusal, path: str) -> None:
    body = {"query": "a", "documents": ["b"], "return_documents": "yes"}
    assert "`return_documents`" in refusal(path, body).message


def test_no_message_repeats_what_was_sent(refusal: Refusal) -> None:
    for body in (
        b'{"query": "secret',
        b'{"query": ["secret"], "documents": ["secret"]}',
        {"query": "a", "secret": 1},
    ):
        assert "secret" not in refusal("/v1/rerank", body).message


@pytest.fixture
def check(settings: ServiceSettings) -> Callable[[bytes], int]:
    return ScoreCheck(Limits(settings)).check_score_body


def pairs_of(count: int, document: str = "b") -> dict[str, Any]:
    return {"pairs": [{"query": "a", "document": document}] * count}


def test_counts_the_pairs_of_a_score_body(check: Callable[[bytes], int]) -> None:
    assert check(json.dumps(pairs_of(MAX_DOCUMENTS) | {"unknown": 1}).encode()) == MAX_DOCUMENTS


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 422, "`pairs`"),
        (b"{}", 422, "`pairs`"),
        (b'{"pairs": []}', 422, "`pairs`"),
        (b'{"pairs": [["a", "b"]]}', 422, "`pairs[0]`"),
        (b'{"pairs": [{"query": "a", "document": "b"}, {"query": "a"}]}', 422, "`pairs[1]`"),
        (b'{"pairs": [{"query": " ", "document": "b"}]}', 422, "`pairs[0]`"),
        (json.dumps(pairs_of(MAX_DOCUMENTS + 1)).encode(), 422, "RERANKER_SERVICE_MAX_DOCUMENTS"),
        (json.dumps(pairs_of(1, "b" * MAX_CHARACTERS)).encode(), 422, "RERANKER_SERVICE_MAX_CHARACTERS"),
    ],
)
def test_refuses_a_score_body(check: Callable[[bytes], int], body: bytes, status: int, word: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check(body)
    assert refused.value.status == status
    assert word in refused.value.message


_shared = examples(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def holds(ask: Ask, path: str, body: bytes) -> bool:
    """Return whether `body` was answered rather than refused as wrong; anything else fails the test."""
    try:
        reply: Reply = ask(path, body)
    except RefusedError as refusal:
        if refusal.status in (400, 422):
            return False
        raise
    return json.loads(reply.body) is not None


@_shared
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200))
def test_no_bytes_break_it(ask: Ask, path: str, body: bytes) -> None:
    assert not holds(ask, path, body)


FIELDS = [
    "query",
    "documents",
    "texts",
    "top_n",
    "raw_scores",
    "return_documents",
    "return_text",
    "max_tokens_per_doc",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**4_000)
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "id"]), inner, max_size=2),
    max_leaves=6,
)
nearly = st.fixed_dictionaries(
    {"query": st.just("a") | values, "documents": st.lists(st.just("b") | values, max_size=3) | values},
    optional={name: values for name in FIELDS if name not in ("query", "documents")},
)


@_shared
@given(path=st.sampled_from(PATHS), body=nearly, ascii_only=st.booleans())
def test_no_json_breaks_it(ask: Ask, path: str, body: dict[str, Any], ascii_only: bool) -> None:
    encoded = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if holds(ask, path, encoded):
        assert isinstance(body["query"], str)
