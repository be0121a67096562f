"""Requests for namespaces: ``/v1/ns/NAME/...`` is answered as ``/v1/...`` of another store."""

import re
from collections.abc import Awaitable
from typing import Any

from litestar.types import HTTPScope

from nearline.server.cache import Key
from nearline.server.exchange import Exchange, HTTPApp
from nearline.server.middleware.cached_answers import CachedAnswers
from nearline.server.namespaces import Namespaces
from nearline.server.paths import decode_utf8

PREFIX = b"/v1/ns/"
TEMPLATE = "/v1/ns/{namespace}"
_PATH = re.compile(rb"/v1/ns/([^/]+)(/.+)", re.DOTALL)


class Namespaced:
    """Passes requests for a namespace to the cache and engine of its store, and others on.

    Parameters
    ----------
    app : callable
        ASGI application that computes answers with the context in the scope.
    root : CachedAnswers
        Answers of paths without a namespace.
    """

    def __init__(self, app: HTTPApp, root: CachedAnswers, namespaces: Namespaces) -> None:
        self._app = app
        self._root = root
        self._namespaces = namespaces

    def find(self, exchange: Exchange, scope: HTTPScope) -> tuple[Any, Any] | None:
        """Return head and body of the cached answer to a request; None if there is none."""
        if not exchange.path.startswith(PREFIX):
            return self._root.find(exchange, scope)
        match = _PATH.fullmatch(exchange.path)
        store = None if match is None else self._namespaces.get(match[1].decode("latin-1"))
        if match is None or store is None:
            return None
        whole, exchange.path = exchange.path, b"/v1" + match[2]
        found = CachedAnswers(self._app, store.context).find(exchange, scope)
        exchange.path = whole
        if found is not None:
            exchange.route = TEMPLATE + exchange.route.removeprefix("/v1")
        return found

    async def compute(self, exchange: Exchange, scope: HTTPScope) -> None:
        """Answer a request by the store of its namespace, which is opened if necessary."""
        match = None
        if exchange.path.startswith(PREFIX):
            match = _PATH.fullmatch(exchange.path)
        if match is None:
            await self._root.compute(exchange, scope)
            return
        async with self._namespaces.using(decode_utf8(match[1], "path")) as store:
            exchange.namespace = decode_utf8(match[1], "path")
            exchange.path = scope["raw_path"] = b"/v1" + match[2]
            try:
                await CachedAnswers(self._app, store.context).compute(exchange, scope)
            finally:
                exchange.route = TEMPLATE + exchange.route.removeprefix("/v1")

    def make_ahead(self, key: Key, request_id: str) -> Awaitable[None]:
        """Compute the answer to an expected request outside of namespaces."""
        return self._root.make_ahead(key, request_id)
