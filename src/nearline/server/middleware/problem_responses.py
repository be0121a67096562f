"""Responses of type ``application/problem+json`` for errors of the middlewares.

Errors of routes have the same form (`problems.problem_response`).
"""

from http import HTTPStatus

import msgspec

from nearline.server.exchange import CLIENT_CLOSED, Exchange
from nearline.server.problems import PROBLEM_JSON, problem_for
from nearline.server.security import API_HEADERS


async def send_problem(error: Exception, exchange: Exchange) -> None:
    """Send the problem document of an error, unless a response has already begun."""
    problem, extra = problem_for(error, exchange.request_id)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        exchange.failure = error
    if exchange.status != CLIENT_CLOSED:
        raise error
    body = msgspec.json.encode(problem)
    headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **extra}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    encoded += API_HEADERS
    await exchange.send(
        {"type": "http.response.start", "status": problem.status, "headers": encoded}
    )
    await exchange.send({"type": "http.response.body", "body": body, "more_body": False})
