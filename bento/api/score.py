"""The body of POST /score, looked at before BentoML sees it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from bento.api.documents import Query
from bento.api.ranker import Limits
from bento.api.wire import Must, read


class QueryAndDocument(TypedDict):
    """A query and a document to score together."""

    query: Query
    document: str


class ScoreRequest(BaseModel):
    """As BentoML's clients send it."""

    model_config = ConfigDict(strict=True, regex_engine="python-re")

    pairs: Annotated[
        list[QueryAndDocument],
        Field(
            description="What to score; pairs of several requests are scored together.",
            min_length=1,
            fail_fast=True,  # a body of a million wrong entries would become a gigabyte of complaints
            examples=[[{"query": "how do I sort a list?", "document": "sorted() returns a new sorted list."}]],
        ),
        Must(
            "a list of at least one object with the strings `query` and `document`",
            "an object with the strings `query`, with at least one visible character, and `document`",
        ),
    ]


class ScoreCheck:
    """Holds the bodies of /score against the limits and refuses them in our shape."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check_score_body(self, body: bytes) -> int:
        """Return how many pairs `body` holds; RefusedError (400, 422) says what is wrong with it."""
        pairs = read(ScoreRequest, body).pairs
        characters = sum(len(pair["query"]) + len(pair["document"]) for pair in pairs)
        self._limits.check("pairs", len(pairs), characters)
        return len(pairs)
