"""From one request's texts to their order, without blocking the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bento.engine import Engine
from bento.messages import RefusedError, Result


class Ranker:
    """Puts documents in order with an engine that works on one request at a time, in its own thread."""

    def __init__(self, engine: Engine, max_waiting: int) -> None:
        self.engine = engine
        self._max_waiting = max_waiting
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def rank(self, query: str, documents: Sequence[str], top_n: int | None = None) -> list[Result]:
        """Return the `top_n` best documents, best first, equal scores in the order given.

        RefusedError (429) when too many requests are waiting already: better told at once than late.
        """
        if self._waiting >= self._max_waiting:
            raise RefusedError(
                429, "overloaded", f"{self._waiting} requests are waiting: try again later.", {"retry-after": "1"}
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._rank, query, documents, top_n)
        finally:
            self._waiting -= 1

    def _rank(self, query: str, documents: Sequence[str], top_n: int | None) -> list[Result]:
        # Equal texts are scored once: cheaper, and padding cannot make their scores differ in the last digit.
        distinct = list(dict.fromkeys(documents))
        scores = dict(zip(distinct, self.engine.score([(query, text) for text in distinct]).tolist(), strict=True))
        ranked = sorted(enumerate(documents), key=lambda entry: -scores[entry[1]])
        return [Result.model_construct(index=i, relevance_score=scores[text]) for i, text in ranked[:top_n]]
