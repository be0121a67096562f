"""Tests that need a real server in a separate process."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from tests.server.serving import LiveServer, start_server, stop_server

JSON = {"Content-Type": "application/json"}
MEGABYTE = 1_000_000
# Start of a request; its length and body follow.
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def peak_memory(live: LiveServer) -> int:
    """Return the peak memory of the server in bytes."""
    status = Path(f"/proc/{live.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def raw_request(live: LiveServer, method: str, path: str, body: str = "") -> tuple[int, bytes]:
    """Send a path unchanged; HTTP clients would resolve and encode it."""
    connection = HTTPConnection("127.0.0.1", live.port, timeout=120.0)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_next_read_reflects_a_write(live: LiveServer) -> None:
    """1,000 writes by 8 clients at once, each followed by a read that must reflect it."""

    def write_and_read(client_number: int) -> int:
        seen = 0
        user = f"writer {client_number}/%"
        path = f"/v1/users/{quote(user, safe='')}"
        with httpx.Client(base_url=live.url, timeout=120.0) as http:
            for n in range(125):
                item = f"item {n}"
                stored = http.post("/v1/events", json={"user_id": user, "item_id": item})
                assert stored.status_code == 200
                known = http.get(path).json()["history"]
                answer = http.get(f"{path}/recommendations", params={"k": 1000}).json()
                listed = {line["item_id"] for line in answer["items"]}
                assert answer["offset"] >= stored.json()["offset"]
                seen += known[0]["item_id"] == item and item not in listed
        return seen

    with ThreadPoolExecutor(8) as clients:
        assert sum(clients.map(write_and_read, range(8))) == 1_000


def test_a_cached_list_is_never_stale(live: LiveServer, http: httpx.Client) -> None:
    """Eight clients write and read lists from preferences, which are cached; none is outdated."""
    items = [{"item_id": f"same {n}", "text": "kettle of copper"} for n in range(60)]
    assert http.post("/v1/items", json=items).status_code == 200

    def write_and_read(client_number: int) -> int:
        right = 0
        user = f"reader {client_number}"
        path = f"/v1/users/{quote(user)}/recommendations?k=1"
        with httpx.Client(base_url=live.url, timeout=120.0) as client:
            for n in range(50):
                event = {"user_id": user, "item_id": f"same {n}"}
                offset = client.post("/v1/events", json=event).json()["offset"]
                for _ in range(3):  # computed by this request or in advance; then cached
                    answer = client.get(path).json()
                    (line,) = answer["items"]
                    seen = int(line["item_id"].split()[1]) <= n
                    right += answer["offset"] >= offset and line["tier"] == "personal" and not seen
        return right

    with ThreadPoolExecutor(8) as clients:
        assert sum(clients.map(write_and_read, range(8))) == 8 * 50 * 3
    assert 'nearline_cache_hits_total{made="asked"} 0.0' not in http.get("/metrics").text


def test_a_deleted_item_is_not_recommended_after_the_acknowledgement(http: httpx.Client) -> None:
    items = [{"item_id": f"gone {n}", "categories": ["gone"]} for n in range(50)]
    assert http.post("/v1/items", json=items).status_code == 200
    for n in range(50):
        assert http.delete(f"/v1/items/gone%20{n}").status_code == 200
        answer = http.get("/v1/users/u/recommendations?category=gone&k=1000").json()
        listed = {line["item_id"] for line in answer["items"]}
        assert listed == {f"gone {m}" for m in range(n + 1, 50)}


@pytest.mark.parametrize(
    "item_id",
    [
        "a/b",
        "..",
        ".",
        "%2F",
        "💥",
        "a b?c#d",
        "a+b",
        "/",
        "\\",
        "x" * 512,
        "é",
        "\x7f",
        "%",
        "&=;",
    ],
)
def test_ids_of_any_characters(live: LiveServer, item_id: str) -> None:
    path = f"/v1/items/{quote(item_id, safe='')}"
    assert raw_request(live, "PUT", path, '{"title": "odd", "categories": ["odd"]}')[0] == 200
    status, body = raw_request(live, "GET", path)
    assert (status, json.loads(body)["item_id"]) == (200, item_id)
    assert raw_request(live, "GET", f"{path}/similar?k=1")[0] == 200
    _, body = raw_request(live, "GET", f"/v1/users/{quote(item_id, safe='')}/recommendations")
    assert json.loads(body)["user_id"] == item_id
    assert raw_request(live, "DELETE", path)[0] == 200


@pytest.mark.parametrize("part", ["x" * 513, "%ff", "%F0%9F", "%00", "", "%", "%2", "%u1234"])
def test_invalid_ids_are_refused(live: LiveServer, part: str) -> None:
    for path in (f"/v1/items/{part}", f"/v1/users/{part}/recommendations"):
        status, body = raw_request(live, "GET", path)
        assert (status, json.loads(body)["status"]) == (400, 400), path


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_megabytes_is_refused_early(live: LiveServer, chunked: bool) -> None:
    before = peak_memory(live)
    block = b"x" * MEGABYTE
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000000"
    framed = b"%x\r\n%s\r\n" % (len(block), block) if chunked else block
    sent = 0
    with socket.create_connection(("127.0.0.1", live.port), timeout=120.0) as connection:
        connection.sendall(HEAD + length + b"\r\n\r\n")
        with suppress(OSError):  # the server stops reading
            while sent < 100:
                connection.sendall(framed)
                sent += 1
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer
    assert sent < 50
    assert peak_memory(live) - before < 40 * MEGABYTE


def test_the_server_works_after_many_invalid_bodies(live: LiveServer, http: httpx.Client) -> None:
    bodies = [b"[" * 100_000, b'{"context":' * 100_000, b'{"user_id":[' * 100_000, b"\xff" * 1000]
    for path in ("/v1/events", "/v1/recommendations", "/v1/rank", "/v1/items"):
        for body in bodies:
            answer = http.post(path, content=body, headers=JSON)
            assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert http.get("/readyz").json() == {"status": "ready"}


def test_a_client_that_disconnects_is_no_server_error(live: LiveServer, http: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=120.0) as connection:
        head = HEAD + b"X-Request-Id: gone\r\n"
        connection.sendall(head + b"Content-Length: 9\r\n\r\n{")
        assert http.get("/livez").status_code == 200
    deadline = time.monotonic() + 120
    lines: list[str] = []
    while not lines and time.monotonic() < deadline:
        time.sleep(0.01)
        lines = [line for line in live.output.read_text().splitlines() if '"gone"' in line]
    (line,) = lines
    assert json.loads(line)["status"] == 499


def test_a_connection_is_kept_alive(live: LiveServer) -> None:
    connection = HTTPConnection("127.0.0.1", live.port, timeout=120.0)
    connection.connect()
    socket_before = connection.sock
    for _ in range(3):
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b'{"status":"alive"}'
    assert connection.sock is socket_before
    connection.close()


def test_writes_survive_a_restart(tmp_path: Path) -> None:
    live = start_server(tmp_path, api_key="key")
    headers = {"authorization": "Bearer key"}
    event = {"user_id": "u", "item_id": "i", "event_id": "once"}
    with httpx.Client(base_url=live.url, headers=headers, timeout=120.0) as http:
        assert httpx.get(f"{live.url}/v1/users/u", timeout=120.0).status_code == 401
        http.post("/v1/events", json=event)
        http.put("/v1/items/i", json={"title": "kept"})
        known = http.get("/v1/users/u").json()
    assert stop_server(live) == 0
    again = start_server(tmp_path, api_key="key")
    with httpx.Client(base_url=again.url, headers=headers, timeout=120.0) as http:
        assert http.get("/v1/users/u").json() == known
        assert http.get("/v1/items/i").json()["title"] == "kept"
        assert http.post("/v1/events", json=event).json()["duplicates"] == 1
        assert http.delete("/v1/users/u").json()["erased"] == 1
    assert stop_server(again) == 0
    output = again.output.read_text()
    assert "Listening on http://127.0.0.1:" in output
    assert "Traceback" not in output
