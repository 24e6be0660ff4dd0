"""Puts the mounted route into the service's own API page, which knows of BentoML's methods alone."""

from typing import Any

from _bentoml_sdk import Service
from bentoml._internal.service.openapi.specification import OpenAPISpecification, PathItem
from pydantic.json_schema import models_json_schema

from bento.messages import ErrorResponse, RerankRequest, RerankResponse

_COMPONENT = "#/components/schemas/{model}"
_REFUSALS = {
    "400": "The body is not JSON in UTF-8.",
    "408": "The body took too long to arrive.",
    "413": "The body is too large.",
    "422": "A field is missing or wrong; the message says what it must be.",
    "429": "Too many requests are waiting; Retry-After says when to try again.",
}


class DocumentedService(Service[Any]):  # type: ignore[misc]  # BentoML carries no types
    """A BentoML service whose OpenAPI page shows POST /v1/rerank."""

    @property
    def openapi_spec(self) -> OpenAPISpecification:
        """BentoML's specification, and the mounted route."""
        specification: OpenAPISpecification = super().openapi_spec
        _, schemas = models_json_schema(
            [(RerankRequest, "validation"), (RerankResponse, "validation"), (ErrorResponse, "validation")],
            ref_template=_COMPONENT,
        )
        components: Any = specification.components
        components["schemas"].update(schemas["$defs"])
        specification.paths["/v1/rerank"] = PathItem(post=_operation())
        return specification


def _operation() -> dict[str, Any]:
    def content(model: type) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": _COMPONENT.format(model=model.__name__)}}}

    return {
        "tags": ["Service APIs"],
        "operationId": "rerank",
        "summary": "Put documents in the order of their relevance to a query",
        "requestBody": {"required": True, "content": content(RerankRequest)},
        "responses": {
            "200": {"description": "The documents, best first.", "content": content(RerankResponse)},
            **{
                status: {"description": reason, "content": content(ErrorResponse)}
                for status, reason in _REFUSALS.items()
            },
        },
    }
