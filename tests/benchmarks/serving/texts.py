"""Requests of real words and of a wanted length in tokens, the same for the same seed."""

import importlib
import inspect
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

SPECIAL_TOKENS = 3
"""One [CLS] and two [SEP] in each pair."""
QUERY_WORDS = 5, 9
SPREAD = 0.25
"""Texts are up to this share shorter or longer than asked: documents are never all of one length."""
SOURCES = ("argparse", "ast", "asyncio", "collections", "csv", "datetime", "decimal", "difflib", "email", "heapq")
MORE_SOURCES = ("inspect", "logging", "mailbox", "pathlib", "random", "shutil", "statistics", "typing", "numpy")


@dataclass(frozen=True)
class Request:
    """What a client asks at once."""

    query: str
    documents: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """One for each document."""
        return [(self.query, document) for document in self.documents]

    @property
    def body(self) -> bytes:
        """In the shape that both this service and Infinity read."""
        return json.dumps({"query": self.query, "documents": self.documents}).encode()


class Texts:
    """Draws requests whose texts were never drawn before."""

    def __init__(self, tokenizer: Path, seed: int) -> None:
        self._random = random.Random(seed)
        counting = Tokenizer.from_file(str(tokenizer))
        counting.no_truncation()
        counting.no_padding()
        words = vocabulary()
        encodings = counting.encode_batch(words, add_special_tokens=False)
        self._words = [(word, len(encoding)) for word, encoding in zip(words, encodings, strict=True)]

    def request(self, documents: int, tokens: int | tuple[int, int]) -> Request:
        """Draw a request of so many `documents`; each is, with the query, of about `tokens` or between two bounds."""
        least, most = tokens if isinstance(tokens, tuple) else (tokens * (1 - SPREAD), tokens * (1 + SPREAD))
        query, used = self._text(words=self._random.randint(*QUERY_WORDS))
        used += SPECIAL_TOKENS
        drawn = (self._text(tokens=self._random.uniform(least, most) - used) for _ in range(documents))
        return Request(query, tuple(text for text, _ in drawn))

    def requests(self, count: int, documents: int, tokens: int) -> list[Request]:
        """Draw `count` requests."""
        return [self.request(documents, tokens) for _ in range(count)]

    def _text(self, *, words: int | None = None, tokens: float | None = None) -> tuple[str, int]:
        """Return a text of so many words, or of the words that come nearest to so many tokens; and its tokens."""
        chosen: list[str] = []
        used = 0
        while len(chosen) < words if words is not None else used + 0.5 < (tokens or 0):
            word, length = self._random.choice(self._words)
            chosen.append(word)
            used += length
        return " ".join(chosen), used


def vocabulary(sources: Sequence[str] = SOURCES + MORE_SOURCES) -> list[str]:
    """Return the words in the documentation of modules that are here anyway, sorted."""
    words: set[str] = set()
    for name in sources:
        module = importlib.import_module(name)
        for value in [module, *vars(module).values()]:
            members = vars(value).values() if inspect.isclass(value) else ()
            for documented in (value, *members):
                if isinstance(text := getattr(documented, "__doc__", None), str):
                    words.update(re.findall(r"[a-z]{3,14}", text.lower()))
    return sorted(words)
