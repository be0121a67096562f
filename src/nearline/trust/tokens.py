"""Tokens of users for publishable keys: ``CONTENT.SIGNATURE``, both in base64url.

The content is JSON, ``{"user_id": ..., "expires": Unix seconds}``. The signature is the HMAC-SHA256
of the content in base64url, with the token secret of the key. A shop's server makes a token for the
visitor that it knows, and the page sends it with the publishable key.
"""

import hmac
from base64 import b64decode, urlsafe_b64encode
from binascii import Error

import msgspec
from msgspec import Struct

MAX_TOKEN_CHARS = 2_000


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    user_id: str
    expires: float


def user_token(token_secret: str, user_id: str, expires: float) -> str:
    """Return a token for a user that is valid until `expires` (Unix seconds)."""
    content = _encoded(msgspec.json.encode(_Content(user_id, expires)))
    return f"{content.decode()}.{_signature(token_secret, content).decode()}"


def user_of(token: bytes, token_secret: str, now: float) -> str | None:
    """Return the user of a token; None unless it is signed with this secret and still valid."""
    content, _, signature = token.partition(b".")
    if len(token) > MAX_TOKEN_CHARS:
        return None
    if not hmac.compare_digest(signature, _signature(token_secret, content)):
        return None
    try:
        padded = content + b"=" * (-len(content) % 4)
        found = msgspec.json.decode(b64decode(padded, altchars=b"-_", validate=True), type=_Content)
    except (Error, ValueError, msgspec.MsgspecError):
        return None
    return found.user_id if now < found.expires else None


def _signature(token_secret: str, content: bytes) -> bytes:
    return _encoded(hmac.digest(token_secret.encode(), content, "sha256"))


def _encoded(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")
