"""A body of nothing but wrong entries costs no more than its first one."""

import tracemalloc

import pytest

from bento.api.cohere import RerankRequest
from bento.api.score import ScoreRequest
from bento.api.text_embeddings_inference import TextsRequest
from bento.api.wire import read
from bento.errors import RefusedError


@pytest.mark.parametrize(
    ("model", "field"), [(RerankRequest, "documents"), (TextsRequest, "texts"), (ScoreRequest, "pairs")]
)
def test_many_wrong_entries_are_refused_at_the_first(model: type, field: str) -> None:
    body = b'{"query": "a", "%s": [%s]}' % (field.encode(), b",".join([b"1"] * 200_000))
    tracemalloc.start()
    with pytest.raises(RefusedError) as refusal:
        read(model, body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refusal.value.status == 422
    assert f"`{field}[0]`" in refusal.value.message
    assert peak < 20 * 2**20
