"""Whether one more request can be answered in time: better told at once than late."""

import math
from collections.abc import Iterable, Sequence

from bento.errors import RefusedError
from bento.model.encoded import EncodedPair

MARGIN = 0.7
"""Share of a request's time that all work before it and its own may need; the rest is for what estimates miss."""
_NEW = 0.1
"""Weight of a new observation in the moving averages."""
_SPECIAL_TOKENS = 3


class Throughput:
    """Tokens that the engine reads in a second, as a moving average over full micro-batches.

    Small ones say little about a long queue: they read slower than what the queue will be cut into.
    """

    def __init__(self, rate: float, streams: int, full: int) -> None:
        """Start from `rate`; batches of at least `full` tokens, padding included, count."""
        self.rate = rate
        self._streams = streams
        self._full = full

    def observe(self, tokens: int, padded: int, seconds: float) -> None:
        """Learn from one micro-batch of one stream."""
        if padded >= self._full and seconds > 0:
            self.rate += _NEW * (self._streams * tokens / seconds - self.rate)


class TokenEstimate:
    """Tokens of a text from its characters: languages differ by far, so it learns from what is tokenised."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._per_character = 0.3

    def of(self, pairs: Iterable[tuple[str, str]], max_document_tokens: int | None) -> list[int]:
        """Return about how many tokens the model will read of each pair."""
        per_character, most = self._per_character, self._max_length
        of_document = most if max_document_tokens is None else max_document_tokens
        return [
            min(
                most,
                _SPECIAL_TOKENS + int(len(query) * per_character + min(of_document, len(document) * per_character)),
            )
            for query, document in pairs
        ]

    def learn(self, pairs: Sequence[tuple[str, str]], encoded: Sequence[EncodedPair]) -> None:
        """Learn from one request's pairs; cut ones tell nothing."""
        whole = [
            (texts, pair)
            for texts, pair in zip(pairs, encoded, strict=True)
            if not pair.truncated and len(pair) < self._max_length
        ]
        characters = sum(len(query) + len(document) for (query, document), _ in whole)
        if characters:
            tokens = sum(len(pair) - _SPECIAL_TOKENS for _, pair in whole)
            self._per_character += _NEW * (tokens / characters - self._per_character)


def admit(own: int, before: int, max_before: int, rate: float, seconds: float) -> None:
    """Raise RefusedError (429) unless a request of `own` tokens can be answered within `seconds`.

    `before` tokens wait or run already and at most `max_before` may wait, unless there is nothing but this request;
    `rate` in tokens a second.
    """
    late = (before + own) / rate - MARGIN * seconds
    if own > MARGIN * seconds * rate:
        message = (
            f"These documents alone take about {own / rate:.0f} seconds and there are {seconds:.0f}: "
            "send fewer or shorter ones in one request."
        )
        raise RefusedError(429, "overloaded", message, {"retry-after": str(max(1, math.ceil(before / rate)))})
    too_many = before + own - max_before if before else 0
    if late > 0 or too_many > 0:
        wait = max(1, math.ceil(max(late, too_many / rate)))
        message = f"Too much work is waiting: try again in {wait} seconds."
        raise RefusedError(429, "overloaded", message, {"retry-after": str(wait)})
