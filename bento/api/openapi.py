"""The service's API page: BentoML's own knows of BentoML's methods alone, so ours takes its place."""

from collections.abc import Sequence
from typing import Any, Literal

import attr
from _bentoml_sdk import Service
from bentoml._internal.service.openapi.specification import Info, OpenAPISpecification, PathItem, Tag
from pydantic import TypeAdapter

from bento.api.operations import OPERATIONS, Operation
from bento.configuration import ServiceSettings
from bento.errors import ErrorResponse, ErrorType
from bento.gateway.exchange import Access

_COMPONENT = "#/components/schemas/{model}"
_LISTS = ("documents", "texts", "pairs")
_DESCRIPTION = """\
Puts documents in the order of their relevance to a query, in the shapes that clients already speak.

Scores are the model's relevance from 0 to 1, or its logits when a request asks for `raw_scores`; answers say which. A
document that is too long is cut and flagged with `truncated`, and text unlike anything that the model was trained on
with `unusual`. Fields that a request holds beyond those listed here are ignored. Whatever is refused has one shape:
`{"error": {"type", "message", "request_id"}}`, and the message says what to do."""
_TAGS = {
    "Ranking": "One model behind all shapes.",
    "Models": "What answers, and what was measured of it.",
    "Feedback": "What people thought of an answer.",
    "Operation": "Probes, metrics and the doors of the operator.",
}
_REFUSALS: dict[int, tuple[ErrorType, str]] = {
    400: ("invalid_json", "The body is not JSON in UTF-8, or did not arrive whole."),
    401: ("unauthorized", "The bearer token is missing, or is not good."),
    403: ("forbidden", "The token does not hold the scope that this needs."),
    404: ("not_found", "There is no such thing."),
    408: ("too_slow", "The body took too long to arrive."),
    413: ("too_large", "The body is too large."),
    422: ("invalid_request", "A field is missing or wrong, or there is too much; the message says what it must be."),
    429: ("overloaded", "Too much work is waiting, or too many requests came; Retry-After says when to try again."),
    500: ("internal_error", "The service failed."),
    503: ("unavailable", "The service takes no requests now; Retry-After says when to try again."),
    504: ("deadline_exceeded", "There was no answer in time."),
}
_OF_ACCESS: dict[Access, tuple[int, ...]] = {
    "open": (),
    "probe": (401, 403),
    "metrics": (401, 403),
    "rerank": (401, 403, 429, 503),
    "admin": (401, 403, 429),
}
_OF_BODY = (400, 408, 413, 422)


class DocumentedService(Service[Any]):  # type: ignore[misc]  # BentoML carries no types
    """A BentoML service whose OpenAPI page shows every route there is."""

    @property
    def openapi_spec(self) -> OpenAPISpecification:
        """BentoML's specification with our routes in the place of its own; made once, since that takes a while."""
        page: OpenAPISpecification | None = self.__dict__.get("_page")
        if page is None:
            page = self.__dict__["_page"] = self._describe()
        return page

    def _describe(self) -> OpenAPISpecification:
        specification: OpenAPISpecification = super().openapi_spec
        settings = ServiceSettings()
        bento = specification.info.version
        return attr.evolve(
            specification,
            openapi="3.1.0",  # pydantic's schemas are of that version
            info=Info(title="Reranker", description=_DESCRIPTION, version="dev" if bento == "None" else bento),
            tags=[Tag(name=name, description=meaning) for name, meaning in _TAGS.items()],
            paths={path: PathItem(**methods) for path, methods in paths(OPERATIONS, settings).items()},
            components=components(OPERATIONS, settings),  # type: ignore[arg-type]  # a typed dictionary over there
        )


def paths(operations: Sequence[Operation], settings: ServiceSettings) -> dict[str, dict[str, Any]]:
    """Return the methods of each path, as OpenAPI describes them."""
    schemas, _ = _schemas(operations)
    described: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described.setdefault(operation.path, {})[operation.method] = _describe(operation, schemas, settings)
    return described


def components(operations: Sequence[Operation], settings: ServiceSettings) -> dict[str, Any]:
    """Return the schemas that `paths` refers to, and how to authenticate."""
    _, definitions = _schemas(operations)
    for schema in definitions.values():
        for name, field in schema.get("properties", {}).items():
            if name in _LISTS and "minItems" in field:
                field["maxItems"] = settings.max_documents
    bearer = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": f"A token with the scope `{settings.rerank_scope}`, or `{settings.admin_scope}` for "
        "/v1/admin. Whether one is needed is a setting of the service.",
    }
    return {"schemas": definitions, "securitySchemes": {"bearerAuth": bearer}}


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type that operations name, by (operation's name, role), and all definitions."""
    types: list[Any] = [(("error", "answer"), ErrorResponse)]
    for operation in operations:
        types += [
            ((operation.name, role), type_)
            for role, type_ in (("request", operation.request), ("answer", operation.answer))
            if type_ is not None
        ]
    inputs: list[tuple[Any, Literal["validation"], TypeAdapter[Any]]] = [
        (key, "validation", TypeAdapter(type_)) for key, type_ in types
    ]
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=_COMPONENT)
    return {key: schema for (key, _), schema in schemas.items()}, definitions["$defs"]


def _describe(operation: Operation, schemas: dict[Any, dict[str, Any]], settings: ServiceSettings) -> dict[str, Any]:
    refusals = {500, *operation.refusals, *_OF_ACCESS[operation.access], *(_OF_BODY if operation.request else ())}
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            str(operation.status): _success(operation, schemas),
            **{str(status): _refusal(status, schemas) for status in sorted(refusals)},
        },
        "security": [{"bearerAuth": []}] if _is_closed(operation.access, settings) else [],
    }
    if operation.request is not None:
        content = {"schema": schemas[operation.name, "request"], "example": operation.example}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.path.endswith("}"):
        name = operation.path.rpartition("{")[2].rstrip("}")
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ]
    return described


def _success(operation: Operation, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if operation.answer is None:
        return {"description": "As the summary says.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "description": "As the summary says.",
        "headers": {
            "x-request-id": {"schema": {"type": "string"}, "description": "Yours, or one that was made up."},
            "x-model-version": {"schema": {"type": "string"}, "description": "Of the model that answered."},
        },
        "content": {"application/json": {"schema": schemas[operation.name, "answer"]}},
    }


def _refusal(status: int, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    kind, meaning = _REFUSALS[status]
    example = {"error": {"type": kind, "message": meaning, "request_id": "5f0c6f7e9a"}}
    described: dict[str, Any] = {
        "description": meaning,
        "content": {"application/json": {"schema": schemas["error", "answer"], "example": example}},
    }
    if status in (429, 503):
        described["headers"] = {"retry-after": {"schema": {"type": "string"}, "description": "Seconds to wait."}}
    return described


def _is_closed(access: Access, settings: ServiceSettings) -> bool:
    if settings.authentication == "off" or access == "open":
        return False
    return not {"probe": settings.open_probes, "metrics": settings.open_metrics}.get(access, False)
