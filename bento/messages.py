"""What goes over the wire, and how a request is read from it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ErrorType = Literal[
    "invalid_json",
    "invalid_request",
    "not_found",
    "method_not_allowed",
    "too_slow",
    "too_large",
    "overloaded",
    "internal_error",
]


class RefusedError(Exception):
    """A request that cannot be answered; `message` tells its sender what to do."""

    def __init__(self, status: int, kind: ErrorType, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind: ErrorType = kind
        self.message = message
        self.headers = headers or {}


class Document(BaseModel):
    """A document as an object; further fields are ignored."""

    text: str


class RerankRequest(BaseModel):
    """A query and the documents to put in order."""

    model_config = ConfigDict(strict=True)

    query: str = Field(description="What is asked.", pattern=r"\S", examples=["how do I sort a list?"])
    documents: list[str | Document] = Field(
        description="The candidates, as texts or as objects with `text`.",
        min_length=1,
        examples=[["sorted() returns a new sorted list.", {"text": "The cat sat on the mat."}]],
    )
    top_n: int | None = Field(None, ge=1, description="How many results to return, best first; default: all.")

    @property
    def texts(self) -> list[str]:
        """The documents' texts, in order."""
        return [entry if isinstance(entry, str) else entry.text for entry in self.documents]


class Result(BaseModel):
    """One document's place in the order."""

    index: int = Field(description="Position in the request's `documents`.")
    relevance_score: float = Field(description="0..1, higher is more relevant.", ge=0, le=1)


class RerankResponse(BaseModel):
    """The documents in order, best first; equal scores keep the request's order."""

    id: str = Field(description="The request's id, also in the header x-request-id.")
    model: str = Field(description="Name and version of the model, such as reranker:3.")
    results: list[Result]


class Error(BaseModel):
    """Why a request was refused and what to do."""

    type: ErrorType
    message: str
    request_id: str


class ErrorResponse(BaseModel):
    """The body of every response of /v1 that is not 200."""

    error: Error


def parse_rerank(body: bytes, max_documents: int) -> RerankRequest:
    """Read the body of POST /v1/rerank; RefusedError (400, 422) names the field and says what it must be."""
    try:
        request = RerankRequest.model_validate_json(body)
    except ValidationError as failure:
        raise _refusal(failure) from None
    if len(request.documents) > max_documents:
        raise RefusedError(
            422,
            "invalid_request",
            f"`documents` has {len(request.documents)} entries and at most {max_documents} are taken: "
            "send them in several requests, or raise RERANKER_SERVICE_MAX_DOCUMENTS.",
        )
    return request


_MUST = {
    "query": "`query` must be a string with at least one visible character.",
    "documents": "`documents` must be a list of at least one string, or object with a string `text`.",
    "top_n": "`top_n` must be a whole number of 1 or more, or be left out to get all results.",
}


def _refusal(failure: ValidationError) -> RefusedError:
    first = failure.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        reason = first["ctx"]["error"]
        return RefusedError(
            400, "invalid_json", f"The body is not JSON in UTF-8 ({reason}): send {{query, documents}}."
        )
    match first["loc"]:
        case ("documents", int(position), *_):
            message = f"`documents[{position}]` must be a string, or an object with a string `text`."
        case (str(field), *_):
            message = _MUST[field]
        case _:
            message = "The body must be a JSON object with `query` and `documents`."
    return RefusedError(422, "invalid_request", message)
