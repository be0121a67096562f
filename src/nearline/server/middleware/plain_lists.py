"""Answer plain requests for a user's list without the web framework, whose overhead dominates.

A plain request has an ID that needs no decoding, and no query parameter except `k`. All others
continue to the route (`routes/recommendations.py`), which gives the same responses, byte for byte.
"""

import re
from collections.abc import Awaitable

import msgspec
from litestar.types import HTTPScope, Receive, Send

from nearline.server.bodies import TimedRequest
from nearline.server.context import context_of
from nearline.server.exchange import HTTPApp, exchange_of
from nearline.server.list_reads import answer_list
from nearline.server.middleware.cached_answers import LISTS
from nearline.server.security import API_HEADERS

# Unreserved characters (RFC 3986, section 2.3) and a number of digits that the route accepts.
_PATH = re.compile(rb"/v1/users/([A-Za-z0-9._~-]{1,512})/recommendations")
_QUERY = re.compile(rb"k=([1-9][0-9]{0,2})")

_encoder = msgspec.json.Encoder()


class PlainLists:
    """Answers plain requests for lists."""

    def __init__(self, app: HTTPApp) -> None:
        self.app = app

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a plain request; pass on all others."""
        if scope["method"] == "GET" and exchange_of(scope).grant.trusted:
            path, query = _PATH.fullmatch(exchange_of(scope).path), scope["query_string"]
            number = _QUERY.fullmatch(query) if query else None
            if path is not None and (not query or number is not None):
                user_id = path[1].decode()
                request = (
                    TimedRequest(user_id=user_id)
                    if number is None
                    else TimedRequest(user_id=user_id, k=int(number[1]))
                )
                return self._answer(request, scope, send)
        return self.app(scope, receive, send)

    async def _answer(self, request: TimedRequest, scope: HTTPScope, send: Send) -> None:
        scope["path_template"] = LISTS
        answer = await answer_list(context_of(scope), exchange_of(scope), request)
        body = _encoder.encode(answer)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *API_HEADERS,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
