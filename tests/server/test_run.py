"""The server process: its address, start and shutdown."""

import gc
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.server.serving import start_server, stop_server, wait_until_ready

from nearline.engine import Recommender
from nearline.errors import Damaged, InvalidInput
from nearline.server import check_address, serve
from nearline.testing.servers.ports import free_port

EVENT = {"user_id": "u", "item_id": "i"}
# Start of a request; its length and body follow.
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def accepts(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=120.0).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("host", "address"), [("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")]
)
def test_loopback_needs_no_key(host: str, address: str) -> None:
    assert check_address(host, free_port(), None) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_addresses_need_a_key(host: str) -> None:
    with pytest.raises(InvalidInput, match="give an API key") as refused:
        check_address(host, free_port(), None)
    assert refused.value.field == "host"
    assert check_address("0.0.0.0", free_port(), "key") == "0.0.0.0"


@pytest.mark.parametrize("host", ["", "example.org", "127.0.0", "1.2.3.4:80"])
def test_invalid_addresses_are_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="IP address"):
        check_address(host, 8080, "key")


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_invalid_ports_are_refused(port: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 65535"):
        check_address("127.0.0.1", port, None)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use_is_refused(shared: bool) -> None:
    with socket.socket() as other:
        if shared:  # like another server of the same type
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InvalidInput, match="give another port") as refused:
            check_address("127.0.0.1", other.getsockname()[1], None)
    assert refused.value.field == "port"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_a_signal(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    port, engine, answers = free_port(), Recommender(), []

    def stop(message: str) -> None:
        assert message == f"Listening on http://127.0.0.1:{port}"
        worker.start()

    def ask_and_stop() -> None:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as http:
                wait_until_ready(http.get)
                answers.append(http.get("/livez").json())
        finally:
            os.kill(os.getpid(), number)

    worker = threading.Thread(target=ask_and_stop)
    serve(lambda: engine, port=port, announce=stop)
    worker.join()
    assert answers == [{"status": "alive"}]
    assert '"message":"store closed"' in capfd.readouterr().err
    with pytest.raises(RuntimeError, match="closed"):
        engine.user("u")


def test_permanent_objects_are_excluded_from_garbage_collection() -> None:
    port, frozen, collects = free_port(), [], []

    def open_engine() -> Recommender:
        collects.append(gc.isenabled())
        return Recommender()

    def ask_and_stop() -> None:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as http:
                wait_until_ready(http.get)
            frozen.append(gc.get_freeze_count())
            collects.append(gc.isenabled())
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    worker = threading.Thread(target=ask_and_stop)
    serve(open_engine, port=port, announce=lambda message: worker.start())
    worker.join()
    loaded = len(gc.get_objects())
    assert frozen[0] > 0.9 * loaded
    assert collects == [False, True]
    assert gc.get_freeze_count() == 0  # reversed, since the process continues


def test_a_store_that_cannot_be_opened_ends_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    def open_engine() -> Recommender:
        raise Damaged("the log cannot be read; restore it from a copy")

    with pytest.raises(Damaged, match="restore it"):
        serve(open_engine, port=free_port(), announce=lambda message: None)
    assert "could not be opened" in capfd.readouterr().err


def test_requests_that_never_end_are_aborted(capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with socket.socket() as slow:

        def half_a_request() -> None:
            try:
                slow.connect(("127.0.0.1", port))
                slow.sendall(HEAD + b"Content-Length: 99\r\n\r\n{")
                # The half has been read before this response.
                httpx.get(f"http://127.0.0.1:{port}/livez", timeout=120.0)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        worker = threading.Thread(target=half_a_request)
        serve(Recommender, port=port, announce=lambda _: worker.start(), drain_seconds=0.2)
        worker.join()
    assert "requests in flight were aborted" in capfd.readouterr().err


def test_a_stop_loses_no_acknowledged_event(tmp_path: Path) -> None:
    """SIGTERM while eight clients write: exit code 0; all acknowledged events survive a restart."""
    live = start_server(tmp_path)
    acknowledged: list[str] = []
    first = threading.Event()

    def write(writer: int) -> None:
        with httpx.Client(base_url=live.url, timeout=120.0) as http:
            for n in range(10_000):
                event_id = f"{writer}-{n}"
                try:
                    answer = http.post("/v1/events", json={**EVENT, "event_id": event_id})
                except httpx.TransportError:
                    return  # the server has stopped
                if answer.status_code != 200:
                    return
                acknowledged.append(event_id)
                first.set()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    assert first.wait(120)
    assert stop_server(live) == 0
    for writer in writers:
        writer.join()

    again = start_server(tmp_path)
    events = [{**EVENT, "event_id": event_id} for event_id in acknowledged]
    answer = httpx.post(f"{again.url}/v1/events", json=events, timeout=120.0).json()
    assert stop_server(again) == 0
    assert (answer["accepted"], answer["duplicates"]) == (0, len(acknowledged))


def test_a_request_in_flight_is_answered(tmp_path: Path) -> None:
    """The body's second half arrives after SIGTERM; its event is stored and acknowledged."""
    live = start_server(tmp_path)
    body = b'{"user_id": "u", "item_id": "late"}'
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", live.port), timeout=120.0) as connection:
        connection.sendall(head + body[:10])
        # The first half has been read before this response.
        httpx.get(f"{live.url}/livez", timeout=120.0)
        live.process.send_signal(signal.SIGTERM)
        while accepts(live.port):
            time.sleep(0.01)
        connection.sendall(body[10:])
        answer = connection.recv(4096)
    assert b"200 OK" in answer
    assert b'{"accepted":1,"duplicates":0,"offset":1}' in answer
    assert live.process.wait(timeout=120.0) == 0


def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    live = start_server(tmp_path)
    try:
        with pytest.raises(Exception, match="open"):
            Recommender(live.store)
    finally:
        assert stop_server(live) == 0
