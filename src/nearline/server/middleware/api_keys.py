"""Refuse requests without the API key."""

import hmac
from collections.abc import Awaitable, Mapping

from litestar.types import HTTPScope, Receive, Send

from nearline.errors import InvalidInput
from nearline.server.exchange import HTTPApp, exchange_of
from nearline.server.paths import sent_path
from nearline.server.problems import Unauthorized

# Health checks of orchestrators need no key.
OPEN_PATHS = frozenset({b"/livez", b"/readyz"})


def checked_key(api_key: str | None) -> str | None:
    """Return a key without the white space around it, as a file or `echo` may leave it.

    Raises
    ------
    InvalidInput
        The key is empty, or contains what a header cannot carry.
    """
    if api_key is None:
        return None
    key = api_key.strip()
    if not key:
        raise InvalidInput("api_key is empty; give a key, or None to accept all requests")
    if not key.isprintable():
        raise InvalidInput(
            "api_key contains control characters, which a header cannot carry; use letters, digits "
            "and punctuation"
        )
    return key


class ApiKeys:
    """Checks the key of each request, except on open paths.

    Parameters
    ----------
    api_key : str or None
        The key that requests must carry; None accepts all requests.
    """

    def __init__(self, app: HTTPApp, api_key: str | None) -> None:
        self.app = app
        self._api_key = None if api_key is None else api_key.encode()

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on if it carries the key; raise `Unauthorized` otherwise."""
        if self._api_key is not None and sent_path(scope) not in OPEN_PATHS:
            _check(exchange_of(scope).headers, self._api_key)
        return self.app(scope, receive, send)


def _check(headers: Mapping[bytes, bytes], api_key: bytes) -> None:
    sent = headers.get(b"x-api-key")
    if sent is None:
        scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        sent = credentials.strip() if scheme.lower() == b"bearer" else None
    if sent is not None and hmac.compare_digest(sent, api_key):
        return
    found = "no API key" if sent is None else "a wrong API key"
    raise Unauthorized(
        f"the request carries {found}; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
    )
