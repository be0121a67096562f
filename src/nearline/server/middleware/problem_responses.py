"""Errors become responses of type ``application/problem+json``."""

import msgspec
from litestar.types import HTTPScope, Receive, Send

from nearline.errors import NearlineError
from nearline.server.exchange import CLIENT_CLOSED, Exchange, HTTPApp, exchange_of
from nearline.server.problems import PROBLEM_JSON, problem_for


class ProblemResponses:
    """Answers errors of the middlewares inside it; the API answers its own in the same form."""

    def __init__(self, app: HTTPApp) -> None:
        self.app = app

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer a request, or describe the error that prevented it."""
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            exchange = exchange_of(scope)
            if not isinstance(error, NearlineError):
                exchange.failure = error
            if exchange.status != CLIENT_CLOSED:
                raise  # the response has begun
            await _send_problem(error, exchange, send)


async def _send_problem(error: Exception, exchange: Exchange, send: Send) -> None:
    problem, extra = problem_for(error, exchange.request_id)
    body = msgspec.json.encode(problem)
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **extra}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})
