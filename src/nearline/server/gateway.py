"""The ASGI application: the routes behind the middlewares."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar
from litestar.types import Receive, Send

from nearline.server.cache import Key
from nearline.server.context import AppContext
from nearline.server.logs import JsonLog
from nearline.server.middleware.stack import middleware_stack


class Gateway:
    """The HTTP API as an ASGI application.

    Requires a server that passes the undecoded path (`raw_path`), such as granian or uvicorn.

    Parameters
    ----------
    api : Litestar
        Application with the routes; its handlers find paths as `paths.canonical_path` encodes them.
    context : AppContext
        Shared by middlewares and handlers.
    api_key : str or None
        Key that requests must carry; None accepts all requests.
    allowed_hosts : frozenset of str or None
        Host names, beside those of this machine, that requests may be for; None for all names.
    new_request_id : callable
        Returns an ID for a request that has none.
    """

    def __init__(
        self,
        api: Litestar,
        context: AppContext,
        *,
        api_key: str | None,
        allowed_hosts: frozenset[str] | None,
        log: JsonLog,
        new_request_id: Callable[[], str],
    ):
        self.api = api
        self.host = context.host
        self.log = log
        self.context = context
        self._new_request_id = new_request_id
        self._http = middleware_stack(
            api,
            context,
            api_key=api_key,
            allowed_hosts=allowed_hosts,
            log=log,
            new_request_id=new_request_id,
        )

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one ASGI connection: a request, or the lifespan."""
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        return self.api(scope, receive, send)

    async def make_ahead(self, key: Key) -> None:
        """Compute the answer to a request that may come, and cache it if it may be."""
        await self._http.cached.make_ahead(key, self._new_request_id())
