"""The ASGI application, which consists of the middlewares and the routes."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar
from litestar.types import Receive, Send

from nearline.server.cache import Key
from nearline.server.context import AppContext
from nearline.server.logs import JsonLog
from nearline.server.middleware.stack import middleware_stack
from nearline.trust.keyring import Keyring
from nearline.trust.pseudonyms import Pseudonyms


class Gateway:
    """The HTTP API as an ASGI application.

    It requires a server that passes the path without decoding it (``raw_path``), such as granian or
    uvicorn.

    Parameters
    ----------
    api : Litestar
        Application with the routes, for paths as encoded by `paths.canonical_path`.
    context : AppContext
        Objects that middlewares and handlers share.
    api_key : str or None
        Key that requests must carry; None accepts all requests.
    keyring : Keyring or None
        Keys with scopes.
    pseudonyms : Pseudonyms or None
        Pseudonyms for IDs of users.
    allowed_hosts : frozenset of str or None
        Host names that are accepted, in addition to those of this machine; None accepts all.
    new_request_id : callable
        Returns an ID for a request that has none.
    """

    def __init__(
        self,
        api: Litestar,
        context: AppContext,
        *,
        api_key: str | None,
        keyring: Keyring | None,
        pseudonyms: Pseudonyms | None,
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
            keyring=keyring,
            pseudonyms=pseudonyms,
            allowed_hosts=allowed_hosts,
            log=log,
            new_request_id=new_request_id,
        )

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle an ASGI connection: a request, or the lifespan."""
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        return self.api(scope, receive, send)

    async def make_ahead(self, key: Key) -> None:
        """Compute the answer to an expected request, and cache it if possible."""
        await self._http.cached.make_ahead(key, self._new_request_id())
