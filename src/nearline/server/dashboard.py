"""Files of the dashboard: the page ``/ui``, and the script, style and icon that it loads.

They are made from ``ui/`` of the repository by ``make ui``, and contain no data.
"""

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files

from msgspec import Struct

PAGE = "index.html"
_TYPES = {
    PAGE: "text/html",
    "app.js": "text/javascript",
    "app.css": "text/css",
    "icon.svg": "image/svg+xml",
}
# The page and its files, which need no API key.
PATHS = frozenset({b"/ui", *(f"/ui/{name}".encode() for name in _TYPES if name != PAGE)})
# Everything comes from the server itself, and no other site may show the page in a frame.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class StaticFile(Struct, frozen=True, kw_only=True):
    """A file of the dashboard.

    Attributes
    ----------
    media_type, etag : str
    plain, packed : bytes
        Content, and the same in gzip.
    """

    media_type: str
    etag: str
    plain: bytes
    packed: bytes

    def headers(self) -> dict[str, str]:
        """Return the headers of a response with the file."""
        return {**_HEADERS, "ETag": self.etag}


@cache
def dashboard_file(name: str) -> StaticFile | None:
    """Return a file of the dashboard; None if there is none of this name."""
    if name not in _TYPES:
        return None
    content = (files("nearline.server") / "static" / name).read_bytes()
    return StaticFile(
        media_type=_TYPES[name],
        etag=f'"{sha256(content).hexdigest()[:16]}"',
        plain=content,
        packed=gzip.compress(content, mtime=0),
    )
