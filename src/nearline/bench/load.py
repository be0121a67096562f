"""Load generator that sends requests from a process of its own and measures latencies.

``python -m nearline.bench.load`` reads one JSON request from standard input and writes one JSON
result. It uses only the standard library, so that it starts fast and uses few resources. A request
contains the kind of load (a key of `KINDS`), port, seconds or count, connections and the
parameters of that kind.

With a ``rate`` (requests per second), the loop is open: request n is due ``n / rate`` seconds after
the start, whether or not earlier requests are finished, and its latency is measured from that time.
Without it, the loop is closed: each connection sends a request when it has received the response to
the previous one.
"""

import asyncio
import gc
import itertools
import json
import random
import selectors
import signal
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, NamedTuple, cast

LoadRequest = dict[str, Any]
HEAD_END = b"\r\n\r\n"
OK, TRIES = 200, 500


class LoadResponse(NamedTuple):
    """Status and body of a response, and its server time in ms; negative if not reported."""

    status: int
    body: bytes
    server_ms: float


class Connection(asyncio.Protocol):
    """Persistent HTTP connection that sends one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[LoadResponse] | None = None
        self._received = bytearray()
        self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport; called by asyncio when the connection is open."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending request; called by asyncio when the connection is closed."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        """Collect bytes, and resolve the pending request when its response is complete."""
        received = self._received
        received += data
        if len(received) < self._needed:
            return
        head = received.find(HEAD_END)
        if head < 0:
            return
        lines = bytes(received[:head]).lower().split(b"\r\n")
        length, server_ms = 0, -1.0
        for line in lines[1:]:
            if line.startswith(b"content-length:"):
                length = int(line[15:])
            elif line.startswith(b"server-timing:"):
                server_ms = float(line.rpartition(b"dur=")[2])
        end = head + len(HEAD_END) + length
        if len(received) < end:
            self._needed = end
            return
        answer = LoadResponse(int(lines[0][9:12]), bytes(received[head + 4 : end]), server_ms)
        del received[:end]
        self._needed = 0
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)
        self._waiting = None

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, by either side."""
        return self._transport.is_closing()

    async def ask(self, method: str, path: str, body: bytes = b"") -> LoadResponse:
        """Send a request and wait for the response; a body must be JSON."""
        self._waiting = asyncio.get_running_loop().create_future()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self._transport.write(head.encode() + b"\r\n" + body)
        return await self._waiting

    async def read(self, user: str, k: int) -> LoadResponse:
        """Request `k` recommendations for a user."""
        return await self.ask("GET", f"/v1/users/{user}/recommendations?k={k}")

    async def send(self, events: list[dict[str, Any]] | dict[str, Any]) -> LoadResponse:
        """Send one event or a list of events."""
        return await self.ask("POST", "/v1/events", json.dumps(events).encode())

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class Record:
    """Measurements of one kind of request.

    Attributes
    ----------
    latencies : array of int
        Latency of each successful request in nanoseconds.
    server : array of float
        Server time of each response that reports it, in milliseconds.
    errors : dict of str to int
        Number of failed requests by reason.
    """

    def __init__(self) -> None:
        self.latencies = array("q")
        self.server = array("d")
        self.errors: dict[str, int] = {}

    def take(self, since: int, answer: LoadResponse) -> None:
        """Record the latency since `since` (perf_counter_ns), or a failure if not status 200."""
        if answer.status != OK:
            self.fail(f"status {answer.status}: {answer.body[:120].decode(errors='replace')}")
            return
        self.latencies.append(time.perf_counter_ns() - since)
        if answer.server_ms >= 0:
            self.server.append(answer.server_ms)

    def fail(self, why: str) -> None:
        """Count a failed request, with its reason."""
        self.errors[why] = self.errors.get(why, 0) + 1


class Run:
    """State of a run: its request document, random generator, request numbers and records.

    Parameters
    ----------
    question : dict
        Request document of the load generator.
    """

    def __init__(self, question: LoadRequest) -> None:
        self.question = question
        self.rng = random.Random(question["seed"])  # noqa: S311 - load, no secrets
        self.numbers = itertools.count()
        self.records: dict[str, Record] = {}
        self.k = question.get("k", 10)
        # Prefix of event IDs, which must differ from those of other runs on the same server.
        self.name = question.get("name", "run")

    def record(self, name: str) -> Record:
        """Return the record with a name; create it on the first call."""
        return self.records.setdefault(name, Record())

    def user(self) -> str:
        """Return the ID of a random user of the synthetic shop."""
        return f"u{self.rng.randrange(self.question['users'])}"

    def event(self, number: int) -> dict[str, Any]:
        """Return event `number` of the run, of a random user with a random item."""
        item = f"i{self.rng.randrange(self.question['items'])}"
        return {"user_id": self.user(), "item_id": item, "event_id": f"{self.name}-{number}"}


Work = Callable[[Run, Connection, int, int], Awaitable[None]]


async def read(run: Run, connection: Connection, _number: int, since: int) -> None:
    """Read the list of a random user."""
    run.record("read").take(since, await connection.read(run.user(), run.k))


async def fetch(run: Run, connection: Connection, _number: int, since: int) -> None:
    """Request the URL path of the run, in which ``USER`` is replaced by a random user."""
    path = run.question["path"].replace("USER", run.user())
    run.record("read").take(since, await connection.ask("GET", path))


async def walk(run: Run, connection: Connection, number: int, since: int) -> None:
    """Read the list of user `number`; after the last user, continue with the first."""
    user = f"u{number % run.question['users']}"
    run.record("read").take(since, await connection.read(user, run.k))


async def pair(run: Run, connection: Connection, number: int, since: int) -> None:
    """Send an event, wait until it is acknowledged, and read the list of its user."""
    event = run.event(number)
    run.record("event").take(since, await connection.send(event))
    since = time.perf_counter_ns()
    run.record("read").take(since, await connection.read(event["user_id"], run.k))


async def mix(run: Run, connection: Connection, number: int, since: int) -> None:
    """Read a list with the probability ``read_share`` (0.9 by default); otherwise send an event."""
    if run.rng.random() < run.question.get("read_share", 0.9):
        await read(run, connection, number, since)
    else:
        run.record("event").take(since, await connection.send(run.event(number)))


async def lists(run: Run, connection: Connection, number: int, since: int) -> None:
    """Send a list of ``size`` events."""
    size = run.question["size"]
    events = [run.event(number * size + place) for place in range(size)]
    since = time.perf_counter_ns()
    run.record("list").take(since, await connection.send(events))


async def single(run: Run, connection: Connection, number: int, since: int) -> None:
    """Send one event."""
    run.record("event").take(since, await connection.send(run.event(number)))


async def change(run: Run, connection: Connection, number: int, _since: int) -> None:
    """Send an event with the first item of a user's list, and read until the item is absent."""
    user, record = run.user(), run.record("change")
    before = await connection.read(user, run.k)
    shown = json.loads(before.body)["items"] if before.status == OK else []
    if not shown:
        record.fail(f"status {before.status}, the list is empty")
        return
    first = shown[0]["item_id"]
    event = {"user_id": user, "item_id": first, "event_id": f"{run.name}-{number}"}
    since = time.perf_counter_ns()
    sent = await connection.send(event)
    if sent.status != OK:
        record.fail(f"status {sent.status}")
        return
    for _ in range(TRIES):
        after = await connection.read(user, run.k)
        if all(line["item_id"] != first for line in json.loads(after.body)["items"]):
            record.take(since, after)
            return
    record.fail("the list did not change")


async def introduce(run: Run, connection: Connection, number: int, _since: int) -> None:
    """Add an item with the text of a user's last item, and read until the item is recommended."""
    record = run.record("new item")
    user = run.user()
    seen = await connection.ask("GET", f"/v1/users/{user}")
    last = json.loads(seen.body)["history"][0]["item_id"] if seen.status == OK else ""
    entry = await connection.ask("GET", f"/v1/items/{last}")
    if entry.status != OK:
        record.fail(f"status {entry.status} for the last item of {user}")
        return
    texts = {name: json.loads(entry.body)[name] for name in ("title", "text")}
    name = f"{run.name}-{number}"
    since = time.perf_counter_ns()
    put = await connection.ask("PUT", f"/v1/items/{name}", json.dumps(texts).encode())
    if put.status != OK:
        record.fail(f"status {put.status}")
        return
    for _ in range(TRIES):
        after = await connection.read(user, run.k)
        if any(line["item_id"] == name for line in json.loads(after.body)["items"]):
            record.take(since, after)
            # The item is deleted so that it does not compete with later items of the same text.
            await connection.ask("DELETE", f"/v1/items/{name}")
            return
    record.fail("the new item was not recommended")


async def checked(run: Run, connection: Connection, _number: int, since: int) -> None:
    """Read the list of a user, and compare it with the expected list of the model it names."""
    known = run.question["lists"]
    user = run.rng.choice(run.question["known_users"])
    answer = await connection.read(user, run.k)
    record = run.record("read")
    record.take(since, answer)
    if answer.status != OK:
        return
    body = json.loads(answer.body)
    if body["model"] not in known:
        record.fail(f"model {body['model']} was not promoted")
    elif [line["item_id"] for line in body["items"]] != known[body["model"]][user]:
        record.fail("the items differ from those of the model that the response names")


KINDS: dict[str, Work] = {
    "read": read,
    "fetch": fetch,
    "walk": walk,
    "pair": pair,
    "mix": mix,
    "lists": lists,
    "single": single,
    "change": change,
    "introduce": introduce,
    "checked": checked,
}


async def drive(question: LoadRequest) -> dict[str, Any]:
    """Generate the load that a request document describes.

    Returns
    -------
    dict
        ``seconds``, the duration; ``records``, a `summary` of each record by name; and ``ms``,
        percentiles of the latencies of all requests.
    """
    run, work = Run(question), KINDS[question["kind"]]
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(question["connections"]):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", question["port"])
        connections.append(connection)
    rate, count = question.get("rate"), question.get("count")
    begin = time.perf_counter_ns()
    end = begin + int(question["seconds"] * 1e9)

    def stop() -> None:
        nonlocal end
        end = 0

    loop.add_signal_handler(signal.SIGTERM, stop)

    async def worker(connection: Connection) -> None:
        while True:
            number = next(run.numbers)
            now = time.perf_counter_ns()
            due = begin + int(number / rate * 1e9) if rate else now
            if due >= end or (count is not None and number >= count):
                return
            if due > now:
                await asyncio.sleep((due - now) / 1e9)
            try:
                await work(run, connection, number, due)
            except (ConnectionError, OSError) as error:
                run.record("connection").fail(repr(error))
                return

    await asyncio.gather(*map(worker, connections))
    seconds = (time.perf_counter_ns() - begin) / 1e9
    for connection in connections:
        connection.close()
    return {
        "seconds": seconds,
        "records": {name: summary(record) for name, record in run.records.items()},
        "ms": percentiles([v / 1e6 for record in run.records.values() for v in record.latencies]),
    }


def summary(record: Record) -> dict[str, Any]:
    """Return count, failures and percentiles of a record; times are in milliseconds."""
    return {
        "count": len(record.latencies),
        "errors": record.errors,
        "ms": percentiles([value / 1e6 for value in record.latencies]),
        "server_ms": percentiles(list(record.server)),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """Compute the percentiles 50, 99 and 99.9, the maximum and the mean of some values.

    The result is empty if there are no values. The list is sorted in place.
    """
    if not values:
        return {}
    values.sort()
    last = len(values) - 1

    def at(share: float) -> float:
        return values[min(last, int(share * len(values)))]

    return {
        "p50": at(0.5),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": values[-1],
        "mean": sum(values) / len(values),
    }


def main() -> None:
    """Read one request document from standard input and write its result to standard output."""
    question = json.load(sys.stdin)
    gc.disable()  # garbage collection of the client would count as latency of the server
    # `select` has a resolution of a microsecond, `epoll` of a millisecond.
    with closing(asyncio.SelectorEventLoop(selectors.SelectSelector())) as loop:
        answer = loop.run_until_complete(drive(question))
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
