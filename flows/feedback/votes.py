"""What somebody said of one document of an answer."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Vote(BaseModel):
    """One line of the service's feedback files."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    index: Annotated[int, Field(ge=0)]
    """Of the document in the request."""
    relevance: Literal[0, 1]
    time: AwareDatetime
    """When the feedback came."""
    grade: int | None = None
    query: str | None = None
    document: str | None = None
    """Both texts, where the sender gave them."""

    def pair(self, query: str, document: str) -> dict[str, str | int | datetime | None]:
        """Return the fields of the labelled pair that it makes of the two texts."""
        return {
            "query": query,
            "document": document,
            "relevance": self.relevance,
            "grade": self.grade,
            "created_at": self.time,
        }
