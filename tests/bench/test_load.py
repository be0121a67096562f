"""The load generator against a server of a few lines, whose answers are known."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from nearline.bench.load import LoadRequest, drive, percentiles

Handler = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]


async def served(handler: Handler, question: LoadRequest) -> dict[str, object]:
    """LoadResponse the question with a server that asks `handler` for status and body."""

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


def test_percentiles_are_of_every_value() -> None:
    values = [float(n) for n in range(1_000, 0, -1)]
    found = percentiles(values)
    # Values 1 to 1000: half of them lie below 501, 990 below 991.
    assert found == {"p50": 501.0, "p99": 991.0, "p999": 1_000.0, "max": 1_000.0, "mean": 500.5}
    assert percentiles([]) == {}
