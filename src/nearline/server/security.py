"""Settings of a server that concern security, and the guard of all routes."""

from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from msgspec import Struct
from msgspec.structs import replace

from nearline.models.settings import require
from nearline.server.exchange import exchange_of

R = TypeVar("R", bound=Struct)

# Entries of a handler's `opt`: the scope that a key needs, and whether publishable keys suffice.
SCOPE, PUBLIC = "scope", "public"
# Headers of all answers of the API: browsers must not guess types, and caches must not keep data.
API_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Security(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a server that concern security.

    Attributes
    ----------
    address_rate : float or None
        Requests per second of one address; further ones are refused with 429.
    key_rate : float or None
        Requests per second of one key, unless the key has a rate of its own.
    burst : float
        Seconds of its rate that a key or an address may send at once.
    gpc : bool
        Whether the header ``Sec-GPC: 1`` (Global Privacy Control) means `profiling` false.
    show_ids : bool
        Whether log lines of errors contain IDs of users and items, which are masked otherwise.
    audit : bool
        Whether an audit log is written to the folder of the store or stores.
    pseudonyms : bool
        Whether IDs of users in requests are replaced by HMACs before anything else.
    """

    address_rate: float | None = None
    key_rate: float | None = None
    burst: float = 1.0
    gpc: bool = False
    show_ids: bool = False
    audit: bool = False
    pseudonyms: bool = False

    def __post_init__(self) -> None:
        """Validate the rates; raise `InvalidInput`."""
        for field in ("address_rate", "key_rate"):
            if getattr(self, field) is not None:
                require(self, field, 1e-6, 1e9)
        require(self, "burst", 0.0, 86_400.0)


class Tls(Struct, frozen=True, kw_only=True):
    """Files for TLS.

    Attributes
    ----------
    certificate, key : Path
        Certificate chain and private key, in PEM.
    key_password : str or None
        Password of the private key.
    client_authority : Path or None
        Certificates (PEM) of the authorities whose clients are accepted; None accepts all clients.
    """

    certificate: Path
    key: Path
    key_password: str | None = None
    client_authority: Path | None = None


def check_scope(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raise `Forbidden` unless the key of a request has the scope that a handler declares.

    Litestar calls it for every route, before the handler. A handler without a scope is refused.
    """
    exchange = exchange_of(connection.scope)
    grant, scope = exchange.grant, handler.opt.get(SCOPE)
    grant.check_scope(scope)
    auditor = connection.scope["state"]["context"].auditor
    if auditor is None and not grant.publishable:
        return
    user_id = connection.path_params.get("user_id")
    user_id = None if user_id is None else unquote(user_id)
    if grant.publishable:
        # Lists of similar and found items can be ordered for a user of the query.
        for about in (user_id, *connection.query_params.getall("user", [])):
            grant.check_public(public=bool(handler.opt.get(PUBLIC)), user_id=about)
    if auditor is not None:
        route = connection.scope.get("path_template") or ""
        auditor.begin(
            exchange, scope=scope or "", route=route, namespace=exchange.namespace, user_id=user_id
        )


def as_asked(request: Request[Any, Any, Any], data: R) -> R:
    """Return the body of a request for a list, without profiling if a header asks for that."""
    if not request.scope["state"]["context"].security.gpc:
        return data
    if exchange_of(request.scope).headers.get(b"sec-gpc") != b"1":
        return data
    return replace(data, profiling=False)
