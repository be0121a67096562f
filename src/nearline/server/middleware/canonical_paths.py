"""Route by the path as it was sent, in one canonical encoding."""

from collections.abc import Awaitable

from litestar.types import HTTPScope, Receive, Send

from nearline.server.exchange import HTTPApp
from nearline.server.paths import canonical_path


class CanonicalPaths:
    """Replaces the decoded path of the server, in which an ID that contains ``/`` is two parts."""

    def __init__(self, app: HTTPApp) -> None:
        self.app = app

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Set ``scope["path"]``; raise `InvalidInput` if the path is malformed."""
        scope["path"] = canonical_path(scope["raw_path"])
        return self.app(scope, receive, send)
