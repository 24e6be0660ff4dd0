"""What a pair is called in the cache and in the queue: by all that decides its score, and nothing else."""

import struct
from collections.abc import Sequence
from hashlib import blake2b

KEY_BYTES = 16
"""128 bits: among 2^40 pairs, two share a key with a chance of about 2^-49."""

_SIZE = struct.Struct("<q")
_NO_LIMIT = -1


class PairKeys:
    """Names pairs by model, truncation, query and document."""

    def __init__(self, model_digest: str, max_length: int) -> None:
        """`max_length` is in tokens, of query and document together."""
        self._model = _framed(model_digest) + _SIZE.pack(max_length)

    def of(self, pairs: Sequence[tuple[str, str]], max_document_tokens: int | None) -> list[bytes]:
        """Return the key of each pair, in order. Pairs that follow each other with the same query cost the least."""
        limit = _NO_LIMIT if max_document_tokens is None else max_document_tokens
        model = blake2b(self._model + _SIZE.pack(limit), digest_size=KEY_BYTES)
        keys = []
        last: str | None = None
        for query, document in pairs:
            if query != last:
                last, start = query, model.copy()
                start.update(_framed(query))
            # Every part but the last says its size, so that no two different pairs hash the same bytes.
            state = start.copy()
            state.update(document.encode("utf-8", "surrogatepass"))
            keys.append(state.digest())
        return keys


def _framed(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return _SIZE.pack(len(encoded)) + encoded
