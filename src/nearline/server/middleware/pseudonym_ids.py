"""Replace IDs of users by pseudonyms, before anything is looked up, stored or logged."""

import re
from collections.abc import Awaitable
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar.types import HTTPScope, Receive, Send

from nearline.errors import InvalidInput
from nearline.schema import check_id
from nearline.server.cache import Key
from nearline.server.exchange import Exchange, HTTPApp, exchange_of
from nearline.server.middleware.cached_answers import CachedAnswers
from nearline.server.middleware.namespaced import Namespaced
from nearline.server.middleware.request_bodies import METHODS_WITHOUT_BODY
from nearline.trust.pseudonyms import Pseudonyms

_PATH = re.compile(rb"(/v1/(?:ns/([^/]+)/)?users/)([^/]+)(.*)", re.DOTALL)
_NAMESPACE = re.compile(rb"/v1/ns/([^/]+)/")
_QUERY = re.compile(rb"(?<![^&])(user|user_id)=([^&]*)")
# Fields of bodies, and of the entries of bodies that are lists.
_FIELDS, _LISTS = ("user_id", "user"), ("user_ids",)


class PseudonymIds:
    """Replaces IDs in the path and the query of a request, before the cache sees it.

    Parameters
    ----------
    answers : CachedAnswers or Namespaced
        Answers from the cache, or computes the answer.
    pseudonyms : Pseudonyms
    """

    def __init__(self, answers: CachedAnswers | Namespaced, pseudonyms: Pseudonyms) -> None:
        self._answers = answers
        self._pseudonyms = pseudonyms

    def find(self, exchange: Exchange, scope: HTTPScope) -> tuple[Any, Any] | None:
        """Return head and body of the cached answer to a request; None if there is none."""
        named = _NAMESPACE.match(exchange.path)
        namespace = "" if named is None else _decoded(named[1]) or ""
        match = _PATH.fullmatch(exchange.path)
        user_id = None if match is None else _decoded(match[3])
        if match is not None and user_id is not None:
            pseudonym = _pseudonym(self._pseudonyms, user_id, namespace)
            if pseudonym != user_id:
                exchange.path = scope["raw_path"] = match[1] + pseudonym.encode() + match[4]
        query = scope["query_string"]
        if b"user" in query:
            scope["query_string"] = _QUERY.sub(
                lambda found: b"%b=%b" % (found[1], self._in_query(found[2], namespace)), query
            )
        grant = exchange.grant
        if grant.user_id is not None:
            pseudonym_of = self._pseudonyms.of(grant.user_id, namespace)
            exchange.grant = msgspec.structs.replace(grant, user_id=pseudonym_of)
        return self._answers.find(exchange, scope)

    def compute(self, exchange: Exchange, scope: HTTPScope) -> Awaitable[None]:
        """Answer a request."""
        return self._answers.compute(exchange, scope)

    def make_ahead(self, key: Key, request_id: str) -> Awaitable[None]:
        """Compute the answer to an expected request, whose path has a pseudonym already."""
        return self._answers.make_ahead(key, request_id)

    def _in_query(self, value: bytes, namespace: str) -> bytes:
        user_id = _decoded(value.replace(b"+", b" "))
        if user_id is None:
            return value
        pseudonym = _pseudonym(self._pseudonyms, user_id, namespace)
        return value if pseudonym == user_id else pseudonym.encode()


class PseudonymBodies:
    """Replaces IDs in JSON bodies, which `RequestBodies` has received whole."""

    def __init__(self, app: HTTPApp, pseudonyms: Pseudonyms) -> None:
        self.app = app
        self._pseudonyms = pseudonyms

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on with its body changed."""
        if scope["method"] in METHODS_WITHOUT_BODY:
            return self.app(scope, receive, send)
        return self._changed(scope, receive, send)

    async def _changed(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        message: Any = await receive()
        if message["type"] == "http.request" and b"user" in message["body"]:
            body = self._body(message["body"], exchange_of(scope).namespace)
            message = {**message, "body": body}
        waiting = [message]

        async def receive_again() -> Any:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, receive_again, send)

    def _body(self, body: bytes, namespace: str) -> bytes:
        try:
            content = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return body  # the route refuses it
        for entry in content if isinstance(content, list) else [content]:
            if isinstance(entry, dict):
                self._entry(entry, namespace)
        return msgspec.json.encode(content)

    def _entry(self, entry: dict[str, Any], namespace: str) -> None:
        for name in _FIELDS:
            if isinstance(entry.get(name), str):
                entry[name] = _pseudonym(self._pseudonyms, entry[name], namespace)
        for name in _LISTS:
            if isinstance(entry.get(name), list):
                entry[name] = [
                    _pseudonym(self._pseudonyms, one, namespace) if isinstance(one, str) else one
                    for one in entry[name]
                ]


def _pseudonym(pseudonyms: Pseudonyms, user_id: str, namespace: str) -> str:
    """Return the pseudonym of an ID; an invalid ID is kept, and the route then refuses it."""
    try:
        check_id(user_id, "user_id")
    except InvalidInput:
        return user_id
    return pseudonyms.of(user_id, namespace)


def _decoded(part: bytes) -> str | None:
    """Return a part of a path or query as text; None if it is malformed: the route refuses it."""
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        return None
