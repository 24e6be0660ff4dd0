"""Texts become tokens, as in training: each distinct text once, and pairs cut on the longer side first."""

import os
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from bento.model.encoded import EncodedPair
from bento.model.engine import UnusableModelError
from bento.model.unusual import UnusualInputs

# The service and its engine have threads of their own; a pool inside each call would only compete with them.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TOKENIZER_FILE = "tokenizer.json"

CHARACTERS_PER_TOKEN, MIN_CHARACTERS = 32, 4_096
"""Text beyond `max_length` times the one, or beyond the other where that is more, is cut before it is tokenised: far
more than any prose needs, and a document of a megabyte costs no more than a long one."""


class PairTokenizer:
    """Encodes pairs for a network of the BERT kind. Safe to call from several threads."""

    def __init__(self, folder: Path, max_length: int, detector: UnusualInputs | None = None) -> None:
        """Load the tokenizer in `folder`; UnusableModelError when it makes no pairs of the BERT kind."""
        self.max_length = max_length
        self._max_characters = max(MIN_CHARACTERS, max_length * CHARACTERS_PER_TOKEN)
        self._detector = detector
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._first, self._between, self._last = self._special_tokens(folder)
        self._room = max_length - 3

    def encode(self, pairs: Sequence[tuple[str, str]], max_document_tokens: int | None = None) -> list[EncodedPair]:
        """Return the tokens of each (query, document), in order.

        The result is that of transformers with the strategy `longest_first`, as in training. `max_document_tokens`
        cuts the document alone first. Lone surrogates, which are no text, count as replacement characters.
        """
        queries, documents = {query for query, _ in pairs}, {document for _, document in pairs}
        tokens = self._tokens(queries | documents)
        unusual_queries, unusual_documents = self._unusual(queries, documents, tokens)
        return [
            self._join(
                tokens[query],
                tokens[document],
                max_document_tokens,
                len(document) > self._max_characters,
                query in unusual_queries or document in unusual_documents,
            )
            for query, document in pairs
        ]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text alone, without special tokens."""
        known = self._tokens(set(texts))
        return [known[text] for text in texts]

    @property
    def vocabulary_size(self) -> int:
        """Every id is below it."""
        return int(self._tokenizer.get_vocab_size())

    def _tokens(self, texts: set[str]) -> dict[str, list[int]]:
        ordered = list(texts)
        cut = [text[: self._max_characters] for text in ordered]
        try:
            encodings = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
        except TypeError:  # a lone surrogate, which JSON can carry and UTF-8 cannot
            whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in cut]
            encodings = self._tokenizer.encode_batch_fast(whole, add_special_tokens=False)
        return {text: encoding.ids for text, encoding in zip(ordered, encodings, strict=True)}

    def _unusual(
        self, queries: set[str], documents: set[str], tokens: dict[str, list[int]]
    ) -> tuple[set[str], set[str]]:
        detector = self._detector
        if detector is None:
            return set(), set()
        return (
            {text for text in queries if detector.flags_query(tokens[text])},
            {text for text in documents if detector.flags_document(tokens[text])},
        )

    def _join(
        self, query: list[int], document: list[int], max_document_tokens: int | None, truncated: bool, unusual: bool
    ) -> EncodedPair:
        first, second = len(query), len(document)
        if max_document_tokens is not None:
            second = min(second, max_document_tokens)
        if first + second > self._room:
            first, second = _longest_first(first, second, self._room)
        return EncodedPair(
            [self._first, *query[:first], self._between, *document[:second], self._last],
            [0] * (first + 2) + [1] * (second + 1),
            truncated or second < len(document),
            unusual,
        )

    def _special_tokens(self, folder: Path) -> tuple[int, int, int]:
        """Return what stands before, between and after, by asking the tokenizer for a pair."""
        (a,), (b,) = (self._tokenizer.encode(text, add_special_tokens=False).ids[:1] for text in ("a", "b"))
        pair = self._tokenizer.encode("a", "b")
        ids = pair.ids
        if len(ids) != 5 or (ids[1], ids[3]) != (a, b) or pair.type_ids != [0, 0, 0, 1, 1]:
            raise UnusableModelError(
                f"{folder / TOKENIZER_FILE} does not join pairs as BERT does: export the model again"
            )
        return ids[0], ids[2], ids[4]


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return the lengths that the strategy of that name leaves of two that are too long together."""
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)
