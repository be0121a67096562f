"""Canonical encoding of paths, so that IDs in a path may contain any character.

ASGI servers decode a path before routing, which makes ``a%2Fb`` (one ID) and ``a/b`` (two parts)
equal. Nearline instead converts the raw path to a canonical encoding and routes by it; handlers
decode the IDs.
"""

import re
from urllib.parse import quote, unquote, unquote_to_bytes

from nearline.errors import InvalidInput
from nearline.schema import check_id

# Parts of these characters are already in the canonical encoding.
_CANONICAL = re.compile(rb"[A-Za-z0-9._~:-]+")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def canonical_path(raw_path: bytes) -> str:
    """Return `raw_path` with every part percent-encoded in the canonical way.

    Raises
    ------
    InvalidInput
        If a part is empty, is not UTF-8 or contains a ``%`` that encodes nothing.
    """
    path, _, _ = raw_path.partition(b"?")  # some servers do not remove the query
    if path in (b"", b"/"):
        return "/"
    return "/" + "/".join(_canonical_part(part) for part in path.split(b"/")[1:])


def path_id(part: str, field: str) -> str:
    """Decode a part of a canonical path and validate it as an ID."""
    return check_id(unquote(part), field)


def decoded(part: str) -> str:
    """Decode a part of a canonical path."""
    return unquote(part)


def decode_utf8(encoded: bytes, field: str) -> str:
    """Percent-decode `encoded`; raise `InvalidInput` for `field` if the result is not UTF-8."""
    if _STRAY_PERCENT.search(encoded):
        raise InvalidInput(
            f"the {field} contains a '%' without two hexadecimal digits after it; "
            "send a percent sign as %25",
            field=field,
        )
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the {field} is not UTF-8 after decoding ({error.reason}); percent-encode UTF-8 bytes",
            field=field,
        ) from None


def _canonical_part(part: bytes) -> str:
    if _CANONICAL.fullmatch(part):
        return part.decode()
    if not part:
        raise InvalidInput(
            "the path contains an empty part; an ID has at least one byte, and no path ends in '/'",
            field="path",
        )
    return quote(decode_utf8(part, "path"), safe=":")
