"""Cutting a stream into lists that are bounded in rows and in text."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def bounded(items: Iterable[T], most: int, characters: Callable[[T], int], most_characters: int) -> Iterator[list[T]]:
    """Yield `items` as lists of `most` at most, each cut short once it holds `most_characters` of text."""
    part: list[T] = []
    size = 0
    for item in items:
        part.append(item)
        size += characters(item)
        if len(part) >= most or size >= most_characters:
            yield part
            part, size = [], 0
    if part:
        yield part
