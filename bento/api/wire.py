"""From the bytes of a request to its model, and from an answer to its bytes."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from bento.errors import RefusedError
from bento.gateway.exchange import Reply

Model = TypeVar("Model", bound=BaseModel)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Must:
    """In a field's annotation: what its value has to be, for the message to who sent another."""

    be: str
    entries_be: str = ""
    """The same for each entry of a list."""


def read_json(body: bytes, expected: str) -> object:
    """Return what `body` says; RefusedError (400) where it is no JSON. `expected` names the fields to send."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as failure:
        # The parser's words hold a position and never what was sent.
        advice = f"The body is not JSON in UTF-8 ({failure}): send {expected}."
        raise RefusedError(400, "invalid_json", advice) from None


def validate(model: type[Model], value: object) -> Model:
    """Return `value` as `model`; RefusedError (422) names the first field that is wrong and what it must be."""
    try:
        return model.model_validate(value)
    except ValidationError as failure:
        location = failure.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]
        raise RefusedError(422, "invalid_request", _advice(model, location)) from None


def read(model: type[Model], body: bytes) -> Model:
    """Return `body` as `model`; RefusedError (400, 422) says what is wrong with it."""
    return validate(model, read_json(body, f"{{{', '.join(_required(model))}}}"))


def json_reply(answer: dict[str, Any] | list[dict[str, Any]], headers: dict[str, str] | None = None) -> Reply:
    """Return `answer` as JSON."""
    return Reply(_encode(answer).encode(), headers=headers or {})


def _required(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


def _advice(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    match location:
        case (str(name), *rest) if name in model.model_fields:
            must = next(entry for entry in model.model_fields[name].metadata if isinstance(entry, Must))
            match rest:
                case (int(position), *_) if must.entries_be:
                    return f"`{name}[{position}]` must be {must.entries_be}."
                case _:
                    return f"`{name}` must be {must.be}."
        case _:
            fields = " and ".join(f"`{name}`" for name in _required(model))
            return f"The body must be a JSON object with {fields}."
