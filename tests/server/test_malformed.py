"""Requests that are not valid HTTP are refused with 400, and are no errors of the server."""

import json
import socket

import httpx
import pytest
from tests.server.serving import LiveServer

HEAD = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "size is no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "size is negative": b"-1\r\n{}\r\n0\r\n\r\n",
    "size is too large": b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "end of line is missing": b"2\r\n{}XX0\r\n\r\n",
    "second size is no number": b"2\r\n{}\r\nzz\r\n",
    "bare line feeds": b"2\n{}\n0\n\n",
    "trailer is no header": b"2\r\n{}\r\n0\r\nx y z\r\n\r\n",
}


def answer_to(live: LiveServer, request: bytes, *, end: bool = False) -> tuple[int, bytes]:
    """Return the status and the body of the first answer to some bytes."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=120.0) as connection:
        connection.sendall(request)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while b"\r\n\r\n" not in received:
            part = connection.recv(65_536)
            assert part, f"no answer: {received!r}"
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("name", BODIES)
def test_malformed_chunks_are_refused(live: LiveServer, name: str) -> None:
    status, body = answer_to(live, CHUNKED + BODIES[name])
    assert status == 400
    assert json.loads(body)["field"] == "body"


@pytest.mark.parametrize("start", [b"5\r\n{}", b"", b"2\r\n{}\r\n"])
def test_a_body_that_ends_early_is_refused(live: LiveServer, start: bytes) -> None:
    assert answer_to(live, CHUNKED + start, end=True)[0] == 400
    with_length = HEAD + b"Content-Length: 100\r\n\r\n" + start
    assert answer_to(live, with_length, end=True)[0] == 400


def test_several_hosts_are_refused(live: LiveServer) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n"
    status, body = answer_to(live, request)
    assert (status, json.loads(body)["field"]) == (400, "host")


def test_refusals_are_logged_without_a_traceback(live: LiveServer, http: httpx.Client) -> None:
    for body in BODIES.values():
        answer_to(live, CHUNKED + body)
    too_large = b'"' + b"x" * 10_000_001 + b'"'
    typed = {"Content-Type": "application/json"}
    assert http.post("/v1/events", content=too_large, headers=typed).status_code == 413
    in_chunks = iter([too_large[:9_000_000], too_large[9_000_000:]])
    assert http.post("/v1/events", content=in_chunks, headers=typed).status_code == 413
    http.get("/v1/users/nobody")
    assert http.get("/readyz").status_code == 200
    lines = [line for line in live.output.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert not [line for line in lines if "traceback" in json.loads(line)]
