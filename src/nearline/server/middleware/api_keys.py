"""Refusal of requests without the API key."""

import hmac

from nearline.errors import InvalidInput
from nearline.server.dashboard import PATHS
from nearline.server.exchange import Exchange
from nearline.server.problems import Unauthorized

# Health checks of orchestrators need no key.
OPEN_PATHS = frozenset({b"/livez", b"/readyz"})
# The dashboard asks for the key itself.
_WITHOUT_KEY = OPEN_PATHS | PATHS


def checked_key(api_key: str | None) -> str | None:
    """Return a key without surrounding white space, such as the line end of a file.

    Raises
    ------
    InvalidInput
        The key is empty, or contains characters that a header cannot contain.
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
    """Checks the key of each request, except on open paths."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key.encode()

    def __call__(self, exchange: Exchange) -> None:
        """Raise `Unauthorized` if the request needs the key and doesn't carry it."""
        if exchange.path in _WITHOUT_KEY:
            return
        sent = exchange.headers.get(b"x-api-key")
        if sent is None:
            scheme, _, credentials = exchange.headers.get(b"authorization", b"").partition(b" ")
            sent = credentials.strip() if scheme.lower() == b"bearer" else None
        if sent is not None and hmac.compare_digest(sent, self._api_key):
            return
        found = "no API key" if sent is None else "a wrong API key"
        raise Unauthorized(
            f"the request carries {found}; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
        )
