"""API keys: what each request may do, and the refusal of requests without a key."""

import hmac
import re
from collections.abc import Mapping

from nearline.errors import InvalidInput
from nearline.server.dashboard import PATHS
from nearline.server.exchange import Exchange
from nearline.server.paths import decode_utf8
from nearline.server.problems import Unauthorized
from nearline.trust.grants import ALL, EVERYTHING, Access, Forbidden, Grant
from nearline.trust.keyring import Keyring

# Health checks of orchestrators need no key.
OPEN_PATHS = frozenset({b"/livez", b"/readyz"})
# The dashboard asks for the key itself.
_WITHOUT_KEY = OPEN_PATHS | PATHS
# What the key of `--api-key` allows.
MASTER = Grant("api-key", ALL)
# Paths of a namespace: its own, and those of its store.
NAMESPACE = re.compile(rb"/v1/ns/([^/]+)")
_WANTED = "the request carries {}; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"


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


def key_in(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key in the headers of a request; None if there is none."""
    sent = headers.get(b"x-api-key")
    if sent is None and b"authorization" in headers:
        scheme, _, credentials = headers[b"authorization"].partition(b" ")
        sent = credentials.strip() if scheme.lower() == b"bearer" else None
    return sent


class ApiKeys:
    """Finds out what each request may do, by its key.

    Parameters
    ----------
    api_key : str or None
        A key that allows everything.
    keyring : Keyring or None
        Keys with scopes.
    """

    def __init__(self, api_key: str | None, keyring: Keyring | None = None) -> None:
        self._api_key = None if api_key is None else api_key.encode()
        self._keyring = keyring
        self._open, self._master = Access(EVERYTHING), Access(MASTER)

    def __call__(self, exchange: Exchange) -> None:
        """Set the grant of a request, or raise `Unauthorized` or `Forbidden`."""
        if exchange.path in _WITHOUT_KEY:
            return
        sent = key_in(exchange.headers)
        grant = self.grant(sent, exchange.headers.get(b"nearline-user-token"))
        if grant is None:
            if sent is not None:
                raise Unauthorized(_WANTED.format("a wrong, expired or revoked API key"))
            if exchange.method == "OPTIONS" and exchange.origin:  # a preflight carries no key
                return
            raise Unauthorized(_WANTED.format("no API key"))
        if grant not in (EVERYTHING, MASTER):
            self._check(exchange, grant)
        exchange.grant = grant

    def grant(self, sent: bytes | None, token: bytes | None = None) -> Grant | None:
        """Return what a request may do with a key; None if a key is needed and this is none."""
        access = self.access(sent)
        if access is None:
            return None
        return (
            access.grant if self._keyring is None else self._keyring.for_user(access.grant, token)
        )

    def access(self, sent: bytes | None) -> Access | None:
        """Return what requests with a key may do from now on, apart from tokens of users."""
        keyring = self._keyring
        if self._api_key is None:
            if keyring is None:
                return self._open
            if not keyring.required:
                return keyring.open
        if sent is None:
            return None
        if self._api_key is not None and hmac.compare_digest(sent, self._api_key):
            return self._master
        return None if keyring is None else keyring.access(sent)

    def _check(self, exchange: Exchange, grant: Grant) -> None:
        """Raise `Forbidden` if the key may not be used here at all."""
        if grant.namespaces is not None:
            match = NAMESPACE.match(exchange.path)
            grant.check_namespace(None if match is None else decode_utf8(match[1], "path"))
        if exchange.origin:
            origin = exchange.origin.decode("latin-1")
            if self._keyring is None or not self._keyring.may_use(grant.key_id, origin):
                exchange.origin = b""
                raise Forbidden(
                    f"pages of {origin:.100} may not use this key; name the origin when the key is "
                    "made: nearline keys create --publishable --origin"
                )
