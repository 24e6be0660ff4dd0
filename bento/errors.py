"""The one shape of everything that the service refuses."""

from typing import Literal

from pydantic import BaseModel, Field

ErrorType = Literal[
    "invalid_json",
    "invalid_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "too_slow",
    "too_large",
    "rate_limited",
    "overloaded",
    "unavailable",
    "deadline_exceeded",
    "internal_error",
]


class RefusedError(Exception):
    """A request that is not answered; `message` tells its sender what to do."""

    def __init__(self, status: int, kind: ErrorType, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind: ErrorType = kind
        self.message = message
        self.headers = headers or {}


class Error(BaseModel):
    """Why a request was refused and what to do."""

    type: ErrorType = Field(description="The kind of refusal, for programs.")
    message: str = Field(description="What is wrong and what to do about it, for people.")
    request_id: str = Field(description="Also in the header x-request-id; name it when you ask the operator.")


class ErrorResponse(BaseModel):
    """The body of every response that is not a success, on every route."""

    error: Error
