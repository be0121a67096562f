"""The OpenAPI document."""

from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.types import ControllerRouterHandler

from nearline.server.decoding import StrictRequest
from nearline.server.problems import PROBLEM_JSON
from nearline.server.routes.snapshots import PROMOTE

_PROBLEM_REF = "#/components/schemas/Problem"
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Stable name of the problem, for programs."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was refused, and the next step."},
        "request_id": {"type": "string", "description": "As in the header X-Request-Id."},
        "field": {"type": "string", "description": "Field, query name or path part at fault."},
        "position": {"type": "integer", "description": "Index of the bad entry in a list."},
    },
}
# Asked for where the server was started with a key.
_KEYS: dict[str, SecurityScheme | Reference] = {
    "bearer": SecurityScheme(type="http", scheme="bearer"),
    "header": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
}
# Routes whose last part holds a verb behind an id.
_VERBS = {"/v1/snapshots/{snapshot_id}": PROMOTE}
_BODY_ERRORS = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_ERRORS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def openapi_document(handlers: Sequence[ControllerRouterHandler]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes, with their errors as they really are."""
    # An app of its own: the one that serves would get Litestar's own pages for the document too,
    # which answer unknown paths in HTML.
    described = Litestar(
        handlers,
        request_class=StrictRequest,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Nearline",
            version=version("nearline"),
            description=(
                "Ids in paths are percent-encoded, whatever they hold. "
                "Every error is application/problem+json."
            ),
            use_handler_docstrings=True,
            components=Components(security_schemes=_KEYS),
            security=[{name: []} for name in _KEYS],
        ),
    )
    document = described.openapi_schema.to_schema()
    document["components"]["schemas"]["Problem"] = _PROBLEM
    for path, verb in _VERBS.items():
        if path in document["paths"]:
            document["paths"][path + verb] = document["paths"].pop(path)
    for path, item in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in item.values():
                _describe_errors(operation)
    return document


def _describe_errors(operation: dict[str, Any]) -> None:
    errors = _ERRORS + (_BODY_ERRORS if "requestBody" in operation else ())
    for status in errors:
        operation["responses"][str(int(status))] = {
            "description": status.phrase,
            "content": {PROBLEM_JSON: {"schema": {"$ref": _PROBLEM_REF}}},
        }
