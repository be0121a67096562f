"""The load generator against a small fake server, whose responses are known."""

import asyncio
import gc
import io
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from nearline.bench.load import LoadRequest, drive, main, percentiles

Handler = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]


async def served(handler: Handler, question: LoadRequest) -> dict[str, object]:
    """Run the load against a server that asks `handler` for status and body."""

    ended: list[asyncio.Event] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        with suppress(asyncio.IncompleteReadError):  # the client hung up
            while True:
                await answer(reader, writer)
        writer.close()
        await writer.wait_closed()
        end.set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        path = head.split()[1].decode()
        status, body = await handler(path, await reader.readexactly(length))
        told = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n"
        # In two pieces, as a network may.
        writer.write(f"{told}Server-Timing: app;dur=1.5\r\n\r\n".encode() + body[:3])
        await writer.drain()
        writer.write(body[3:])

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        common = {"port": port, "users": 5, "items": 5, "seed": 0, "connections": 1, "seconds": 30}
        found = await drive({**common, **question})
        for end in ended:
            await end.wait()
        return found


def run(handler: Handler, **question: object) -> dict[str, object]:
    found = asyncio.run(served(handler, question))
    records = found["records"]
    assert isinstance(records, dict)
    return records


def test_walk_reads_each_user_once_and_records_every_response() -> None:
    asked: list[str] = []

    async def handler(path: str, _body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return 200, b'{"items": []}'

    record = run(handler, kind="walk", count=5)["read"]
    assert isinstance(record, dict)
    assert asked == [f"/v1/users/u{n}/recommendations?k=10" for n in range(5)]
    assert (record["count"], record["errors"]) == (5, {})
    assert record["server_ms"]["p50"] == record["server_ms"]["max"] == 1.5


def test_a_status_other_than_200_is_a_failure_without_latency() -> None:
    async def handler(_path: str, _body: bytes) -> tuple[int, bytes]:
        return 503, b"busy"

    record = run(handler, kind="read", count=3)["read"]
    assert record == {"count": 0, "errors": {"status 503: busy": 3}, "ms": {}, "server_ms": {}}


def test_lists_have_the_requested_size_and_unique_event_ids() -> None:
    ids: list[str] = []

    async def handler(path: str, body: bytes) -> tuple[int, bytes]:
        assert path == "/v1/events"
        ids.extend(event["event_id"] for event in json.loads(body))
        return 200, b"{}"

    run(handler, kind="lists", count=3, size=4, name="a")
    assert ids == [f"a-{n}" for n in range(12)]


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    first = True

    async def handler(_path: str, _body: bytes) -> tuple[int, bytes]:
        nonlocal first
        if first:  # stalls once, so that those after it are sent late
            first = False
            await asyncio.sleep(0.2)
        return 200, b"{}"

    record = run(handler, kind="read", count=10, rate=1_000.0)["read"]
    assert isinstance(record, dict)
    # All ten were due within 9 ms and none could be answered before 200 ms.
    assert record["count"] == 10
    assert record["ms"]["p50"] > 190


def test_change_detects_whether_a_list_changed() -> None:
    reads = 0

    async def handler(path: str, _body: bytes) -> tuple[int, bytes]:
        nonlocal reads
        if path == "/v1/events":
            return 200, b"{}"
        reads += 1
        # Before; the same once more; changed.
        item = "a" if reads < 3 else "b"
        return 200, json.dumps({"items": [{"item_id": item}]}).encode()

    record = run(handler, kind="change", count=1)["change"]
    assert isinstance(record, dict)
    assert (reads, record["count"], record["errors"]) == (3, 1, {})


@pytest.mark.parametrize(
    ("model", "item", "why"),
    [
        ("m1", "a", None),
        ("m1", "b", "the items differ from those of the model that the response names"),
        ("m2", "a", "model m2 was not promoted"),
    ],
)
def test_checked_compares_items_with_those_of_the_named_model(
    model: str, item: str, why: str | None
) -> None:
    async def handler(_path: str, _body: bytes) -> tuple[int, bytes]:
        return 200, json.dumps({"model": model, "items": [{"item_id": item}]}).encode()

    given = {"lists": {"m1": {"u0": ["a"]}}, "known_users": ["u0"]}
    record = run(handler, kind="checked", count=2, **given)["read"]
    assert isinstance(record, dict)
    assert record["errors"] == ({} if why is None else {why: 2})


def test_a_pair_is_an_event_and_a_read_of_its_user() -> None:
    asked: list[str] = []

    async def handler(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(json.loads(body)["user_id"] if body else path.split("/")[3])
        return 200, b"{}"

    records = run(handler, kind="pair", count=3)
    assert asked[0::2] == asked[1::2]
    assert [records[name]["count"] for name in ("event", "read")] == [3, 3]  # type: ignore[index]


def test_mixed_load_has_the_requested_share_of_reads() -> None:
    async def handler(_path: str, _body: bytes) -> tuple[int, bytes]:
        return 200, b"{}"

    assert run(handler, kind="mix", count=5, read_share=1.0).keys() == {"read"}
    assert run(handler, kind="mix", count=5, read_share=0.0).keys() == {"event"}
    both = run(handler, kind="mix", count=60, read_share=0.5)
    assert sum(record["count"] for record in both.values()) == 60  # type: ignore[index]
    assert both.keys() == {"read", "event"}


def test_single_events_and_any_path() -> None:
    asked: list[str] = []

    async def handler(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(json.loads(body)["event_id"] if body else path)
        return 200, b"{}"

    run(handler, kind="single", count=2, name="b")
    run(handler, kind="fetch", count=1, users=1, path="/v1/users/USER?x=1")
    assert asked == ["b-0", "b-1", "/v1/users/u0?x=1"]


@pytest.mark.parametrize(
    ("lists", "event", "why"),
    [
        ([503, 503], 200, "status 503, the list is empty"),
        ([200, 200], 503, "status 503"),
    ],
)
def test_change_counts_what_fails(lists: list[int], event: int, why: str) -> None:
    async def handler(path: str, _body: bytes) -> tuple[int, bytes]:
        status = event if path == "/v1/events" else lists[0]
        return status, b'{"items": [{"item_id": "a"}]}'

    record = run(handler, kind="change", count=1)["change"]
    assert isinstance(record, dict)
    assert record["errors"] == {why: 1}


class Shop:
    """Answers as a server does; lists a new item at the second read, or never."""

    def __init__(self, *, listed: bool = True, found: int = 200, put: int = 200) -> None:
        self.listed, self.found, self.put = listed, found, put
        self.asked: list[str] = []
        self.reads = 0

    async def __call__(self, path: str, body: bytes) -> tuple[int, bytes]:
        name = path.rpartition("/")[2].partition("?")[0]
        self.asked.append(name)
        if name == "recommendations":
            self.reads += 1
            shown = "run-0" if self.listed and self.reads > 1 else "old"
            return 200, json.dumps({"items": [{"item_id": shown}]}).encode()
        if name.startswith("u"):
            return 200, b'{"history": [{"item_id": "last"}]}'
        if name == "last":
            return self.found, b'{"title": "a", "text": "b", "available": true}'
        if body:
            assert json.loads(body) == {"title": "a", "text": "b"}
        return self.put, b"{}"


def test_a_new_item_is_read_until_it_is_recommended_and_then_deleted() -> None:
    shop = Shop()
    record = run(shop, kind="introduce", count=1, users=1)["new item"]
    assert isinstance(record, dict)
    assert (record["count"], record["errors"]) == (1, {})
    assert shop.asked == ["u0", "last", "run-0", "recommendations", "recommendations", "run-0"]


@pytest.mark.parametrize(
    ("shop", "why"),
    [
        (Shop(found=404), "status 404 for the last item of u0"),
        (Shop(put=503), "status 503"),
        (Shop(listed=False), "the new item was not recommended"),
    ],
    ids=["no-item", "refused", "not-listed"],
)
def test_new_items_that_fail_are_counted(
    shop: Shop, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearline.bench.load.TRIES", 3)
    record = run(shop, kind="introduce", count=1, users=1)["new item"]
    assert isinstance(record, dict)
    assert (record["count"], record["errors"]) == (0, {why: 1})


def test_a_list_that_never_changes_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearline.bench.load.TRIES", 2)

    async def handler(_path: str, _body: bytes) -> tuple[int, bytes]:
        return 200, b'{"items": [{"item_id": "a"}]}'

    record = run(handler, kind="change", count=1)["change"]
    assert isinstance(record, dict)
    assert record["errors"] == {"the list did not change": 1}


def test_a_server_that_hangs_up_is_a_failure_of_the_connection() -> None:
    async def hang_up() -> dict[str, object]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            sizes = {"users": 5, "items": 5, "seed": 0, "connections": 1, "seconds": 30}
            return await drive({"kind": "read", "port": port, **sizes})

    records = asyncio.run(hang_up())["records"]
    assert isinstance(records, dict)
    assert records["connection"]["errors"] == {
        "ConnectionResetError('the server hung up')": 1,
    }


def test_the_program_reads_a_request_and_writes_its_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"kind": "read", "port": 1, "users": 1, "items": 1, "seed": 0}
    given |= {"connections": 0, "seconds": 1}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(given)))
    before = signal.getsignal(signal.SIGTERM)
    try:
        main()
    finally:
        gc.enable()
        signal.signal(signal.SIGTERM, before)
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["ms"]) == ({}, {})


def test_percentiles_are_of_every_value() -> None:
    values = [float(n) for n in range(1_000, 0, -1)]
    found = percentiles(values)
    # Values 1 to 1000: half of them lie below 501, 990 below 991.
    assert found == {"p50": 501.0, "p99": 991.0, "p999": 1_000.0, "max": 1_000.0, "mean": 500.5}
    assert percentiles([]) == {}
