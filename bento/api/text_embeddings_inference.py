"""The shape of Hugging Face's text-embeddings-inference."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bento.api.documents import Query, RawScores
from bento.api.ranker import Ranking, RankTask
from bento.api.wire import Must, json_reply
from bento.gateway.exchange import Reply


class TextsRequest(BaseModel):
    """As text-embeddings-inference takes it. Fields that are not listed are ignored.

    A text that is too long is cut at its end and flagged, whatever `truncate` says: an error would cost the caller
    all other results.
    """

    model_config = ConfigDict(strict=True, regex_engine="python-re")

    query: Query
    texts: Annotated[
        list[str],
        Field(
            description="The candidates.",
            min_length=1,
            fail_fast=True,  # a body of a million wrong entries would become a gigabyte of complaints
            examples=[["sorted() returns a new sorted list.", "The cat sat on the mat."]],
        ),
        Must("a list of at least one string", "a string"),
    ]
    raw_scores: RawScores = None
    return_text: Annotated[
        bool | None, Field(description="Whether results repeat their texts."), Must("true or false")
    ] = None
    truncate: Annotated[
        bool | None,
        Field(description="Without effect: texts that are too long are always cut."),
        Must("true or false"),
    ] = None
    truncation_direction: Annotated[
        Literal["right", "Right"] | None,
        Field(description="Where texts that are too long are cut: at their end."),
        Must('"right": the model reads the beginning of a text'),
    ] = None

    def task(self) -> RankTask:
        """Return what to do."""
        return RankTask(self.query, self.texts, field="texts")

    def answer(self, ranking: Ranking, request_id: str, model: str) -> Reply:
        """Return a list of what `RankedText` describes; what is true of the whole request is in its headers."""
        results = []
        for ranked in ranking.results:
            entry: dict[str, object] = {
                "index": ranked.index,
                "score": ranked.logit if self.raw_scores else ranked.score,
            }
            if self.return_text:
                entry["text"] = self.texts[ranked.index]
            if ranked.truncated:
                entry["truncated"] = True
            if ranked.unusual:
                entry["unusual"] = True
            results.append(entry)
        headers = {
            "x-compute-tokens": str(ranking.tokens),
            "x-score-scale": "logit" if self.raw_scores else "0..1",
            "x-truncated-documents": str(ranking.truncated),
            "x-unusual-documents": str(ranking.unusual),
        }
        return json_reply(results, headers)


class RankedText(BaseModel):
    """One text's place in the order."""

    index: int = Field(description="Position in the request's `texts`.", ge=0)
    score: float = Field(description="Higher is more relevant: 0 to 1, or the logit with `raw_scores`.")
    text: str | None = Field(None, description="There with `return_text`.")
    truncated: Literal[True] | None = Field(None, description="There where the text was too long and was cut.")
    unusual: Literal[True] | None = Field(
        None, description="There where query and text are unlike anything that the model was trained on."
    )
