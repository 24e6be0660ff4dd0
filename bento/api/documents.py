"""What requests with `documents` have in common, whoever's shape they are in."""

from typing import Annotated, Literal, NotRequired

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic cannot read typing's own before Python 3.12

from bento.api.ranker import RankedDocument, Ranking, RankTask
from bento.api.wire import Must

ScoreScale = Literal["0..1", "logit"]
"""Relevance as a share of 1, or the model's own number, without bounds."""


def _whole(value: object) -> object:
    """1.0 is a whole number to JSON Schema, and to languages that know no other kind."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Query = Annotated[
    str,
    Field(description="What is asked; at least one visible character.", pattern=r"\S"),
    Must("a string with at least one visible character"),
]
TopN = Annotated[
    Count | None,
    Field(description="How many results to return, best first; default: all."),
    Must("a whole number of 1 or more, or be left out to get all results"),
]
RawScores = Annotated[
    bool | None,
    Field(description="Whether scores are the model's logits, without bounds, instead of 0 to 1."),
    Must("true or false"),
]
MaxTokens = Annotated[
    Count | None,
    Field(
        description="Documents are cut to so many tokens, and flagged where that took anything away; never beyond "
        "what the model reads, which GET /v1/models tells.",
    ),
    Must("a whole number of 1 or more"),
]
ReturnDocuments = Annotated[
    bool | None, Field(description="Whether results repeat their documents."), Must("true or false")
]


class Document(TypedDict):
    """A document as an object; further fields are ignored."""

    text: str
    id: NotRequired[Annotated[str | Whole | None, Field(description="Yours; comes back with the result.")]]


Documents = Annotated[
    list[str | Document],
    Field(
        description="The candidates, as texts or as objects with `text` and, if you like, an `id`.",
        min_length=1,
        fail_fast=True,  # a body of a million wrong entries would become a gigabyte of complaints
        examples=[["sorted() returns a new sorted list.", {"text": "The cat sat on the mat.", "id": "cat-1"}]],
    ),
    Must(
        "a list of at least one string, or object with a string `text`",
        "a string, or an object with a string `text` (and an `id` that is a string or a whole number, if any)",
    ),
]


class DocumentsRequest(BaseModel):
    """A query and the documents to put in order. Fields that are not listed, such as `model`, are ignored."""

    # Python's own regular expressions agree with JSON Schema's on what is visible.
    model_config = ConfigDict(strict=True, regex_engine="python-re")

    query: Query
    documents: Documents
    top_n: TopN = None
    raw_scores: RawScores = None
    max_tokens_per_doc: MaxTokens = None

    @property
    def score_scale(self) -> ScoreScale:
        """Of the answer's scores."""
        return "logit" if self.raw_scores else "0..1"

    def task(self) -> RankTask:
        """Return what to do."""
        texts = [entry if isinstance(entry, str) else entry["text"] for entry in self.documents]
        return RankTask(self.query, texts, self.top_n, self.max_tokens_per_doc)

    def text(self, index: int) -> str:
        """Return the text of the document at `index`."""
        entry = self.documents[index]
        return entry if isinstance(entry, str) else entry["text"]


class Result(BaseModel):
    """One document's place in the order."""

    index: int = Field(description="Position in the request's documents.", ge=0)
    relevance_score: float = Field(description="Higher is more relevant: 0 to 1, or the logit where asked for.")
    truncated: Literal[True] | None = Field(None, description="There where the document was too long and was cut.")
    unusual: Literal[True] | None = Field(
        None, description="There where query and document are unlike anything that the model was trained on."
    )


class Usage(BaseModel):
    """Tokens that the model read, special tokens included."""

    prompt_tokens: int
    total_tokens: int


def result(ranked: RankedDocument, raw: bool | None) -> dict[str, object]:
    """Return what `Result` describes; flags only where they are true, to spare clients with strict types."""
    entry: dict[str, object] = {
        "index": ranked.index,
        "relevance_score": ranked.logit if raw else ranked.score,
    }
    if ranked.truncated:
        entry["truncated"] = True
    if ranked.unusual:
        entry["unusual"] = True
    return entry


def usage(ranking: Ranking) -> dict[str, int]:
    """Return what `Usage` describes."""
    return {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens}
