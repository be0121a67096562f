"""The OpenAPI document."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.types import ControllerRouterHandler

from nearline.server.decoding import StrictRequest
from nearline.server.docs_constraints import add_constraints
from nearline.server.limits import Limits
from nearline.server.problems import PROBLEM_JSON
from nearline.server.routes.snapshots import PROMOTE

_PROBLEM_REF = "#/components/schemas/Problem"
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Stable identifier of the kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "What is wrong in this request, and how to correct it.",
        },
        "request_id": {"type": "string", "description": "Same as the header X-Request-Id."},
        "field": {
            "type": "string",
            "description": "Invalid field, query parameter or path segment.",
        },
        "position": {"type": "integer", "description": "Index of the invalid entry of a list."},
    },
}
# Required if the server was started with a key.
_KEYS: dict[str, SecurityScheme | Reference] = {
    "bearer": SecurityScheme(type="http", scheme="bearer"),
    "header": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
}
# Routes whose last path segment is an ID followed by a verb.
_VERBS = {"/v1/snapshots/{snapshot_id}": PROMOTE}
_BODY_ERRORS = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_ERRORS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def openapi_document(handlers: Sequence[ControllerRouterHandler], limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of routes, including the errors of the middlewares."""
    # A separate application generates it, since Litestar would also serve its own pages, which
    # answer unknown paths in HTML.
    described = Litestar(
        handlers,
        request_class=StrictRequest,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Nearline",
            version=version("nearline"),
            description=(
                "IDs in paths are percent-encoded. Every error is application/problem+json."
            ),
            use_handler_docstrings=True,
            operation_id_creator=_operation_id,
            components=Components(security_schemes=_KEYS),
            security=[{name: []} for name in _KEYS],
        ),
    )
    document = described.openapi_schema.to_schema()
    document["components"]["schemas"]["Problem"] = _PROBLEM
    for path, verb in _VERBS.items():
        if path in document["paths"]:
            document["paths"][path + verb] = document["paths"].pop(path)
    add_constraints(document, limits)
    _describe_defaults(document["components"]["schemas"])
    for path, item in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in item.values():
                _describe_errors(operation)
    return document


def _describe_defaults(schemas: dict[str, Any]) -> None:
    """Say in words what a missing field means.

    Generators of clients take a field that has a default for one that is always there.
    """
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if "default" in field and name not in schema.get("required", ()):
                default = json.dumps(field.pop("default"))
                field["description"] = f"{field.get('description', '')} Default: {default}.".strip()


def _operation_id(handler: HTTPRouteHandler, _method: object, _path: object) -> str:
    """Return the name of a handler in camel case, such as ``storeEvents``."""
    first, *others = handler.handler_name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _describe_errors(operation: dict[str, Any]) -> None:
    errors = _ERRORS + (_BODY_ERRORS if "requestBody" in operation else ())
    for status in errors:
        operation["responses"][str(int(status))] = {
            "description": status.phrase,
            "content": {PROBLEM_JSON: {"schema": {"$ref": _PROBLEM_REF}}},
        }
