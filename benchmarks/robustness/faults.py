"""The faults of the table, by kind.

A fault is an asynchronous function that disturbs a running server until `Fault.end`.
"""

import asyncio
import json
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from benchmarks.robustness.target import Fault

HEAD = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


Cause = Callable[[Fault], Awaitable[None]]


class Row(NamedTuple):
    """One fault: its kind, its name, its load, and the function that causes it."""

    kind: str
    name: str
    load: str
    cause: Cause


FAULTS: list[Row] = []


def fault(kind: str, name: str, load: str) -> Callable[[Cause], Cause]:
    """Add a function to `FAULTS`."""

    def add(cause: Cause) -> Cause:
        FAULTS.append(Row(kind, name, load, cause))
        return cause

    return add


@fault("none", "no fault", "the probe alone")
async def nothing(fault: Fault) -> None:
    await fault.wait()


# Connections


@fault("connections", "connections that never send a byte", "1,500 connections")
async def silent(fault: Fault) -> None:
    async with fault.raw(1_500):
        await fault.wait()


@fault("connections", "request heads that never end", "500 connections")
async def half_a_head(fault: Fault) -> None:
    async with fault.raw(500, HEAD):
        await fault.wait()


@fault(
    "connections",
    "request heads that arrive byte by byte",
    "200 connections, 20 bytes per second each",
)
async def slow_heads(fault: Fault) -> None:
    async with fault.raw(200, b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ") as pairs:
        while fault.active:
            for _, writer in pairs:
                writer.write(b"a")
            await asyncio.sleep(0.05)


@fault("connections", "bodies that never arrive", "200 bodies of 1 MB")
async def endless_bodies(fault: Fault) -> None:
    async with fault.raw(200, HEAD + b"content-length: 1000000\r\n\r\n["):
        await fault.wait()


@fault("connections", "bodies that arrive byte by byte", "100 bodies, 20 bytes per second each")
async def slow_bodies(fault: Fault) -> None:
    async with fault.raw(100, HEAD + b"content-length: 100000\r\n\r\n[") as pairs:
        while fault.active:
            for _, writer in pairs:
                writer.write(b" ")
            await asyncio.sleep(0.05)


@fault("connections", "HTTP/2 connections without a request", "500 connections")
async def http2_preface(fault: Fault) -> None:
    async with fault.raw(500, PREFACE + SETTINGS):
        await fault.wait()


@fault("connections", "HTTP/2 frames that never end", "200 connections")
async def http2_half_a_frame(fault: Fault) -> None:
    header = struct.pack(">BHBBI", 0, 16_000, 1, 4, 1)
    async with fault.raw(200, PREFACE + SETTINGS + header):
        await fault.wait()


@fault("connections", "connections that are opened and closed", "as many as 8 workers can")
async def churn(fault: Fault) -> None:
    async def visit(_number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", fault.target.port)
        writer.close()

    await fault.repeat(visit, workers=8, pause=0.001)


@fault("connections", "connections that are reset after each request", "8 workers")
async def resets(fault: Fault) -> None:
    async def visit(number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", fault.target.port)
        found = writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        path = f"/v1/users/u{number % 2_000}/recommendations?k=50"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    await fault.repeat(visit, workers=8, pause=0.005)


@fault("connections", "bytes that are not HTTP", "8 workers, random bytes")
async def noise(fault: Fault) -> None:
    async def visit(_number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", fault.target.port)
        writer.write(fault.rng.randbytes(200) + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    await fault.repeat(visit, workers=8, pause=0.005)


@fault(
    "connections",
    "pipelined requests whose answers are not read",
    "50 connections, 200 requests at once on each",
)
async def pipelines(fault: Fault) -> None:
    request = b"GET /v1/users/u1/recommendations?k=100 HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with fault.raw(50, request * 200) as pairs:
        for reader, _ in pairs:
            reader._transport.pause_reading()
        await fault.wait()


# Bytes


async def _post(fault: Fault, path: str, body: object) -> None:
    await fault.target.ask("POST", path, body)


@fault("bytes", "large answers that are not read", "30 answers of 5 MB")
async def unread_batches(fault: Fault) -> None:
    users = json.dumps({"user_ids": [f"u{n}" for n in range(1_000)], "k": 100}).encode()
    head = HEAD.replace(b"/v1/events", b"/v1/recommendations:batch")
    request = head + f"content-length: {len(users)}\r\n\r\n".encode() + users
    async with fault.raw(30, request) as pairs:
        for reader, _ in pairs:
            reader._transport.pause_reading()
        await fault.wait()


@fault("bytes", "bodies just below the limit", "8 workers, 9 MB each")
async def large_bodies(fault: Fault) -> None:
    body = ["x" * 1_000] * 9_000
    await fault.repeat(lambda _: _post(fault, "/v1/events", body), workers=8)


@fault("bytes", "bodies beyond the limit", "8 workers, 12 MB each")
async def bodies_beyond(fault: Fault) -> None:
    body = ["x" * 1_000] * 12_000
    await fault.repeat(lambda _: _post(fault, "/v1/events", body), workers=8)


@fault("bytes", "items with long texts", "one worker, 100 items of 10 kB per request")
async def long_texts(fault: Fault) -> None:
    async def put(number: int) -> None:
        text = " ".join(f"word{fault.rng.randrange(5_000)}" for _ in range(1_200))
        entries = [{"item_id": f"long-{number}-{n}", "text": text} for n in range(100)]
        await _post(fault, "/v1/items", entries)

    await fault.repeat(put)


@fault("bytes", "items with large vectors", "one worker, 20 items with 512 numbers per request")
async def vectors(fault: Fault) -> None:
    async def put(number: int) -> None:
        values = [fault.rng.random() for _ in range(512)]
        entries = [{"item_id": f"v-{number}-{n}", "vectors": {"v": values}} for n in range(20)]
        await _post(fault, "/v1/items", entries)

    await fault.repeat(put)


@fault("bytes", "deeply nested JSON", "nesting of 100,000 levels")
async def nesting(fault: Fault) -> None:
    body = b"[" * 100_000
    request = HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body

    async def send(_: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", fault.target.port)
        writer.write(request)
        await writer.drain()
        await reader.read(100)
        writer.close()

    await fault.repeat(send, workers=4)


# Heavy users


async def _events_of(fault: Fault, user: str, number: int, count: int, **more: object) -> None:
    items = [fault.rng.randrange(2_000) for _ in range(count)]
    events = [
        {"user_id": user, "item_id": f"i{item}", "event_id": f"{user}-{number}-{at}", **more}
        for at, item in enumerate(items)
    ]
    await _post(fault, "/v1/events", events)


@fault("heavy users", "one user with very many events", "lists of 1,000 events")
async def heavy_user(fault: Fault) -> None:
    await fault.repeat(lambda number: _events_of(fault, "heavy", number, 1_000))


@fault(
    "heavy users",
    "late events of a user with a long history",
    "lists of 50 events of the past year",
)
async def late_events(fault: Fault) -> None:
    for number in range(10):
        await _events_of(fault, "late", number, 1_000)
    year_ago = time.time() - 365 * 86_400

    async def send(number: int) -> None:
        await _events_of(fault, "late", 10 + number, 50, timestamp=year_ago + number)

    await fault.repeat(send)


@fault("heavy users", "erasures of users with long histories", "20,000 events of each user")
async def erasures_of_heavy_users(fault: Fault) -> None:
    async def once(number: int) -> None:
        for part in range(20):
            await _events_of(fault, f"heavy-{number}", part, 1_000)
        await fault.target.ask("DELETE", f"/v1/users/heavy-{number}")

    await fault.repeat(once)


@fault("heavy users", "erasure of a user with a very long history", "60,000 events")
async def erasure_of_60_000_events(fault: Fault) -> None:
    for part in range(60):
        await _events_of(fault, "heaviest", part, 1_000)
    await fault.target.ask("DELETE", "/v1/users/heaviest")


@fault("heavy users", "late events of a user with 100,000 events", "single events")
async def late_single_events(fault: Fault) -> None:
    for number in range(10):
        await _events_of(fault, "latest", number, 10_000)
    year_ago = time.time() - 365 * 86_400

    async def send(number: int) -> None:
        await _events_of(fault, "latest", 10 + number, 1, timestamp=year_ago + number)

    await fault.repeat(send)


@fault("heavy users", "erasures of many users", "4 workers, users of 20 events")
async def erasures(fault: Fault) -> None:
    async def once(number: int) -> None:
        await _events_of(fault, f"gone-{number}", 0, 20)
        await fault.target.ask("DELETE", f"/v1/users/gone-{number}")

    await fault.repeat(once, workers=4)


# Work beside requests


def _entries(number: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "item_id": f"new-{number}-{n}",
            "title": f"blue cup {n}",
            "text": f"a cup of kind {n % 50}",
        }
        for n in range(count)
    ]


@fault("work", "large lists of catalogue entries", "3,000 entries per request")
async def catalogue(fault: Fault) -> None:
    await fault.repeat(lambda number: _post(fault, "/v1/items", _entries(number, 3_000)), pause=0.5)


@fault("work", "single entries that are put and patched", "8 workers")
async def single_items(fault: Fault) -> None:
    async def once(number: int) -> None:
        path = f"/v1/items/i{number % 500}"
        await fault.target.ask("PUT", path, {"title": f"cup {number}", "text": "blue"})
        await fault.target.ask("PATCH", path, {"title": f"mug {number}"})

    await fault.repeat(once, workers=8)


@fault("work", "items that are deleted", "8 workers")
async def deleted_items(fault: Fault) -> None:
    await fault.repeat(
        lambda number: fault.target.ask("DELETE", f"/v1/items/i{1_999 - number % 1_000}"), workers=8
    )


async def _job(fault: Fault, kind: str) -> None:
    status, body = await fault.target.ask("POST", "/v1/jobs", {"kind": kind})
    while status == 202 and fault.active:
        _, state = await fault.target.ask("GET", f"/v1/jobs/{json.loads(body)['id']}")
        if json.loads(state).get("finished") is not None:
            return
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)


@fault("work", "trainings", "one after the other")
async def trainings(fault: Fault) -> None:
    await fault.repeat(lambda _: _job(fault, "train"))


@fault("work", "merges of what was learned online", "one after the other")
async def merges(fault: Fault) -> None:
    await fault.repeat(lambda _: _job(fault, "merge"))


@fault("work", "checkpoints", "one after the other")
async def checkpoints(fault: Fault) -> None:
    await fault.repeat(lambda _: _job(fault, "checkpoint"))


@fault("work", "promotions and rollbacks", "20 per second")
async def promotions(fault: Fault) -> None:
    await _job(fault, "train")
    await fault.repeat(lambda _: _post(fault, "/v1/snapshots:rollback", None), pause=0.05)


# Web pages of other sites, and keys


@fault("pages", "requests of web pages of other sites", "8 workers")
async def foreign_pages(fault: Fault) -> None:
    body = b'{"user_id":"u1","item_id":"i1"}'
    for head in (b"origin: https://evil.example\r\n", b""):
        host = b"localhost" if head else b"evil.example"
        request = HEAD.replace(b"localhost", host) + head
        request += f"content-length: {len(body)}\r\n\r\n".encode() + body

        async def send(_: int, request: bytes = request) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", fault.target.port)
            writer.write(request)
            status = await reader.readline()
            writer.close()
            assert b" 403 " in status, status

        for number in range(50):
            await send(number)
    await fault.wait()


# Accepted values


@fault("values", "contexts with ever new values", "4 workers, a context of 20 new values per event")
async def contexts(fault: Fault) -> None:
    async def send(number: int) -> None:
        context = {f"field{n}": f"value-{number}-{n}" for n in range(20)}
        event = {"user_id": f"c{number}", "item_id": f"i{number % 2_000}", "context": context}
        await _post(fault, "/v1/events", event)

    await fault.repeat(send, workers=4)


@fault("values", "IDs with control characters, separators and emoji", "4 workers, random Unicode")
async def hostile_ids(fault: Fault) -> None:
    characters = "/?#%&=+ \t\r\n'\";\\<>\u202e\u00fc\u6f22\U0001f600"

    async def send(number: int) -> None:
        name = "".join(fault.rng.choices(characters, k=20)) + str(number)
        await _post(fault, "/v1/events", {"user_id": name, "item_id": name})
        await fault.target.ask("GET", f"/v1/users/{quote(name, safe='')}/recommendations")

    await fault.repeat(send, workers=4)


@fault("values", "requests with invalid fields", "4 workers")
async def invalid_requests(fault: Fault) -> None:
    bodies: list[object] = [
        {"user_id": ""},
        {"user_id": 7, "item_id": "i1"},
        {"user_id": "u1", "item_id": "i1", "timestamp": "yesterday"},
        {"user_id": "u1", "item_id": "i1", "value": "much"},
        [{"user_id": "u1"}] * 100,
        "text",
    ]
    await fault.repeat(
        lambda number: _post(fault, "/v1/events", bodies[number % len(bodies)]), workers=4
    )


@fault("values", "events whose time is in the future", "events of one day ahead")
async def clock_ahead(fault: Fault) -> None:
    async def send(number: int) -> None:
        event = {"user_id": f"ahead{number}", "item_id": f"i{number % 2_000}"}
        await _post(fault, "/v1/events", {**event, "timestamp": time.time() + 86_000})

    await fault.repeat(send, pause=0.01)


@fault(
    "values", "events that are sent several times at once", "every event three times, in 4 workers"
)
async def duplicates(fault: Fault) -> None:
    async def send(number: int) -> None:
        one = {"user_id": f"d{number}", "item_id": "i1", "event_id": f"duplicate-{number}"}
        await asyncio.gather(*(_post(fault, "/v1/events", one) for _ in range(3)))

    await fault.repeat(send, workers=4)


# Failures of the process and of the machine


async def _restarts(fault: Fault, number: signal.Signals) -> None:
    while fault.active:
        await asyncio.sleep(fault.rng.uniform(0.5, 1.5))
        await fault.target.stop(number)
        await fault.target.start()


@fault("failures", "kill -9 and restart", "every 1 to 3 seconds")
async def kills(fault: Fault) -> None:
    await _restarts(fault, signal.SIGKILL)


@fault("failures", "SIGTERM and restart", "every 1 to 3 seconds")
async def stops(fault: Fault) -> None:
    await _restarts(fault, signal.SIGTERM)


async def _kills_during(fault: Fault, kind: str, shortest: float, longest: float) -> None:
    """Start a job, and kill the server after a random time between two bounds in seconds."""
    while fault.active:
        with suppress(OSError):
            await fault.target.ask("POST", "/v1/jobs", {"kind": kind})
        await asyncio.sleep(fault.rng.uniform(shortest, longest))
        await fault.target.stop(signal.SIGKILL)
        await fault.target.start()


@fault("failures", "kill -9 during a merge", "every 2 seconds, during merges")
async def kills_during_merges(fault: Fault) -> None:
    await _kills_during(fault, "merge", 0.01, 0.5)


@fault("failures", "kill -9 during a training", "every 2 seconds, during trainings")
async def kills_during_trainings(fault: Fault) -> None:
    await _kills_during(fault, "train", 0.1, 1.0)


@fault("failures", "kill -9 during an erasure", "10,000 events, every 2 seconds")
async def kills_during_erasures(fault: Fault) -> None:
    async def erase(user: str) -> None:
        with suppress(OSError):
            await fault.target.ask("DELETE", f"/v1/users/{user}")

    number = 0
    while fault.active:
        number += 1
        with suppress(OSError):
            for part in range(10):
                await _events_of(fault, f"erased-{number}", part, 1_000)
        erasing = asyncio.create_task(erase(f"erased-{number}"))
        await asyncio.sleep(fault.rng.uniform(0.05, 0.3))
        await fault.target.stop(signal.SIGKILL)
        await erasing
        await fault.target.start()


@fault("failures", "process that is stopped and continued", "0.5 s of every second")
async def pauses(fault: Fault) -> None:
    while fault.active:
        fault.target.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)
        fault.target.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.5)


@fault(
    "failures",
    "process without free file descriptors",
    "none free for 2 seconds, then a second to recover",
)
async def no_descriptors(fault: Fault) -> None:
    while fault.active:
        fault.target.limit_descriptors(0)
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(fault.target.ask("DELETE", "/v1/users/u1"), 1.0)
        await asyncio.sleep(1.0)
        fault.target.limit_descriptors(None)
        await asyncio.sleep(1.0)


@fault(
    "failures", "disk without free space", "no file grows for 1 second, then a second to recover"
)
async def full_disk(fault: Fault) -> None:
    while fault.active:
        fault.target.limit_files(1)
        await asyncio.sleep(1.0)
        fault.target.limit_files(None)
        await asyncio.sleep(1.0)


# Overload


@fault("overload", "more uncached reads than the server can answer", "64 connections, closed loop")
async def reads(fault: Fault) -> None:
    await fault.load("fetch", connections=64, path="/v1/users/USER/recommendations?explain=true")


@fault("overload", "more events than the server can store", "64 connections, closed loop")
async def single_events(fault: Fault) -> None:
    await fault.load("single", connections=64)


@fault("overload", "more lists of events than the server can store", "32 connections, lists of 100")
async def lists_of_events(fault: Fault) -> None:
    await fault.load("lists", size=100)


@fault("overload", "large batches", "4 workers, 1,000 users each")
async def batches(fault: Fault) -> None:
    body = {"user_ids": [f"u{n}" for n in range(1_000)], "k": 50}
    await fault.repeat(lambda _: _post(fault, "/v1/recommendations:batch", body), workers=4)


@fault("overload", "batches of the largest size", "4 workers, 100,000 users each")
async def largest_batches(fault: Fault) -> None:
    body = {"user_ids": [f"u{n}" for n in range(100_000)], "k": 1}
    await fault.repeat(lambda _: _post(fault, "/v1/recommendations:batch", body), workers=4)


@fault(
    "overload",
    "more reads with a deadline than the server can answer",
    "64 connections, deadline of 5 ms",
)
async def deadlines(fault: Fault) -> None:
    await fault.load("fetch", connections=64, path="/v1/users/USER/recommendations?deadline_ms=5")
