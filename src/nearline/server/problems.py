"""Errors as ``application/problem+json`` (RFC 9457)."""

import math
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from msgspec import Struct

from nearline.errors import (
    BudgetSpent,
    Closed,
    InvalidInput,
    LogUnavailable,
    NearlineError,
    NotThereYet,
    NotTrained,
    Overloaded,
    StaleLease,
    StorageFailed,
    StoreInUse,
    UnknownCritique,
    UnknownExperiment,
    UnknownItem,
    UnknownJob,
    UnknownNamespace,
    UnknownRule,
    UnknownScenario,
    UnknownSnapshot,
    UnknownUser,
)
from nearline.server.exchange import exchange_of
from nearline.trust.grants import Forbidden

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = "1"
MAX_DETAIL_CHARS = 1_000


class NotReady(NearlineError, RuntimeError):
    """The store is not open: it is still being opened, failed to open, or is closed."""


class Unauthorized(NearlineError, PermissionError):
    """The request has no API key, or a wrong one."""


class TooManyRequests(NearlineError, RuntimeError):
    """A key or an address sent more requests than it may.

    Parameters
    ----------
    message : str
    seconds : float
        After how many seconds the next request is accepted.
    """

    def __init__(self, message: str = "", seconds: float = 1.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class BodyTimeout(NearlineError, TimeoutError):
    """The body of the request did not arrive in time."""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457).

    Attributes
    ----------
    type : str
        Kind of the problem, as a stable URN.
    title, detail : str
        Description of the kind, and of this occurrence.
    status : int
        The HTTP status.
    request_id : str
        ID of the request in the server's log.
    field : str or None
        The invalid field, query parameter or part of the path.
    position : int or None
        Index (from 0) of the invalid entry in the list that was sent.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = None
    position: int | None = None


# The first class that matches an error determines its problem.
_STATUS: tuple[tuple[type[NearlineError], HTTPStatus, str], ...] = (
    (InvalidInput, HTTPStatus.BAD_REQUEST, "invalid-input"),
    (Unauthorized, HTTPStatus.UNAUTHORIZED, "unauthorized"),
    (Forbidden, HTTPStatus.FORBIDDEN, "forbidden"),
    (TooManyRequests, HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests"),
    (BodyTimeout, HTTPStatus.REQUEST_TIMEOUT, "body-timeout"),
    (UnknownItem, HTTPStatus.NOT_FOUND, "unknown-item"),
    (UnknownUser, HTTPStatus.NOT_FOUND, "unknown-user"),
    (UnknownCritique, HTTPStatus.NOT_FOUND, "unknown-critique"),
    (UnknownJob, HTTPStatus.NOT_FOUND, "unknown-job"),
    (UnknownSnapshot, HTTPStatus.NOT_FOUND, "unknown-snapshot"),
    (UnknownScenario, HTTPStatus.NOT_FOUND, "unknown-scenario"),
    (UnknownExperiment, HTTPStatus.NOT_FOUND, "unknown-experiment"),
    (UnknownRule, HTTPStatus.NOT_FOUND, "unknown-rule"),
    (UnknownNamespace, HTTPStatus.NOT_FOUND, "unknown-namespace"),
    (NotTrained, HTTPStatus.CONFLICT, "not-trained"),
    (BudgetSpent, HTTPStatus.CONFLICT, "budget-spent"),
    (StaleLease, HTTPStatus.CONFLICT, "stale-lease"),
    (NotReady, HTTPStatus.SERVICE_UNAVAILABLE, "not-ready"),
    (Closed, HTTPStatus.SERVICE_UNAVAILABLE, "closed"),
    (Overloaded, HTTPStatus.SERVICE_UNAVAILABLE, "overloaded"),
    (LogUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "log-unavailable"),
    (NotThereYet, HTTPStatus.SERVICE_UNAVAILABLE, "not-there-yet"),
    (StoreInUse, HTTPStatus.SERVICE_UNAVAILABLE, "store-in-use"),
    (StorageFailed, HTTPStatus.INSUFFICIENT_STORAGE, "storage-failed"),
)
_NEXT_STEP = {
    HTTPStatus.NOT_FOUND: "no such route; /docs lists all routes",
    HTTPStatus.METHOD_NOT_ALLOWED: "this route has no such method; the Allow header lists them",
}


def problem_for(error: Exception, request_id: str) -> tuple[Problem, dict[str, str]]:
    """Return the problem document for `error`, and additional response headers.

    An error that is neither Nearline's nor the HTTP layer's gives a 500 without its message.
    """
    headers: dict[str, str] = {}
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            if status is HTTPStatus.SERVICE_UNAVAILABLE:
                headers["retry-after"] = RETRY_AFTER_SECONDS
            elif status is HTTPStatus.REQUEST_TIMEOUT:
                headers["connection"] = "close"
            elif isinstance(error, TooManyRequests):
                headers["retry-after"] = str(max(1, math.ceil(error.seconds)))
            elif status is HTTPStatus.UNAUTHORIZED:
                headers["www-authenticate"] = "Bearer"
            return _problem(status, name, str(error), request_id, error), headers
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        detail = _NEXT_STEP.get(status, error.detail)
        headers.update(error.headers or {})
        return _problem(status, _kebab(status.phrase), detail, request_id, error), headers
    detail = f"the server failed; its log has the details under request {request_id}"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _problem(status, "internal-error", detail, request_id, error), headers


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Convert `error` to a response; Litestar's exception handler."""
    if isinstance(error, ValidationException):
        error = _refused_value(request, error)
    elif isinstance(error, RequestEntityTooLarge):
        limit = request.route_handler.resolve_request_max_body_size()
        error = RequestEntityTooLarge(
            detail=f"the body is larger than {limit:,} bytes; send it in several requests"
        )
    problem, headers = problem_for(error, exchange_of(request.scope).request_id)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        exchange_of(request.scope).failure = error
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        headers={"x-content-type-options": "nosniff", "cache-control": "no-store", **headers},
        media_type=PROBLEM_JSON,
    )


def _problem(
    status: HTTPStatus, name: str, detail: str, request_id: str, error: Exception
) -> Problem:
    return Problem(
        type=f"urn:nearline:problem:{name}",
        title=status.phrase,
        status=int(status),
        detail=detail[:MAX_DETAIL_CHARS],
        request_id=request_id,
        field=getattr(error, "field", None),
        position=getattr(error, "position", None),
    )


def _refused_value(request: Request[Any, Any, Any], error: ValidationException) -> InvalidInput:
    """Return an error that names the query parameter which Litestar could not convert."""
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    field = first.get("key", "request")
    if field == "data":
        return InvalidInput("the body is empty; send JSON", field="body")
    value = request.query_params.get(field)
    message = first.get("message", error.detail)
    return InvalidInput(f"{field} is {value!r:.100}: {message}; see /docs", field=field)


def _kebab(phrase: str) -> str:
    return phrase.lower().replace(" ", "-")
