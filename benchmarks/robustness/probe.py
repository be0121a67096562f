"""Client whose requests a fault must not harm; it runs in a process of its own.

``python -m benchmarks.robustness.probe`` reads a JSON document (port, seconds, name, seed, users)
and writes one with its findings. One worker sends events: it reads a user's list, sends an event
with the first item of the list until it is acknowledged, and reads the list again, which must not
contain the item any more. Every fifth event is sent again after its acknowledgement, as clients do
that lost the answer. The other worker reads lists of random users. Both are paced, so that the
probe itself is no load.
"""

import asyncio
import json
import random
import selectors
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from nearline.bench.load import OK, Connection, LoadResponse

PACE_SECONDS = 0.02
PAUSE_SECONDS = 0.02
USERS = 20
REPEATED = 5


class Client:
    """A connection that is opened again after each failure, with a count of the failures."""

    def __init__(self, port: int, found: "Findings") -> None:
        self._port = port
        self._found = found
        self._connection: Connection | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> LoadResponse | None:
        """Send a request; return None after a failure, which is counted by its reason."""
        try:
            if self._connection is None or self._connection.closed:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_connection(
                    Connection, "127.0.0.1", self._port
                )
            answer = await self._connection.ask(method, path, body)
        except OSError as error:
            self._connection = None
            self._found.failures[type(error).__name__] += 1
            return None
        if answer.status != OK:
            self._found.failures[f"status {answer.status}"] += 1
            return None
        return answer


class Findings:
    """What the probe observed.

    Attributes
    ----------
    acknowledged : int
        Number of acknowledged events; their IDs are the name of the run and a number from 0.
    stale : int
        Number of lists with an item of an event that was acknowledged before.
    failures : Counter
        Number of failed requests by reason; each was sent again.
    times : list of float
        Seconds from the start of the probe to the first attempt of each request.
    latencies : list of float
        Milliseconds from the first attempt of each request to its response.
    """

    def __init__(self) -> None:
        self.acknowledged = 0
        self.stale = 0
        self.failures: Counter[str] = Counter()
        self.times: list[float] = []
        self.latencies: list[float] = []


class Probe:
    """Sends paced requests until the given time, and retries each that fails."""

    def __init__(self, question: dict[str, Any]) -> None:
        self.found = Findings()
        self._port: int = question["port"]
        self._name: str = question["name"]
        self._readers: int = question["users"]
        self._rng = random.Random(question["seed"])
        self._start = time.perf_counter()
        self._end = self._start + float(question["seconds"])

    async def run(self) -> Findings:
        """Run both workers."""
        await asyncio.gather(self._write(), self._read())
        return self.found

    async def _write(self) -> None:
        client = Client(self._port, self.found)
        number = 0
        while await self._next(number):
            user = f"probe-{number % USERS}"
            path = f"/v1/users/{user}/recommendations?k=5"
            before = await self._insist(client.ask, "GET", path)
            if before is None:
                return
            lines = json.loads(before.body)["items"]
            item = lines[0]["item_id"] if lines else "i0"
            event = {"user_id": user, "item_id": item, "event_id": f"{self._name}-{number}"}
            body = json.dumps(event).encode()
            for _ in range(2 if number % REPEATED == 0 else 1):
                if await self._insist(client.ask, "POST", "/v1/events", body) is None:
                    return
            self.found.acknowledged += 1
            number += 1
            after = await self._insist(client.ask, "GET", path)
            if after is None:
                return
            self.found.stale += item in [
                line["item_id"] for line in json.loads(after.body)["items"]
            ]

    async def _read(self) -> None:
        client, number = Client(self._port, self.found), 0
        while await self._next(number):
            user = f"u{self._rng.randrange(self._readers)}"
            await self._insist(client.ask, "GET", f"/v1/users/{user}/recommendations?k=10")
            number += 1

    async def _next(self, number: int) -> bool:
        if number:
            await asyncio.sleep(PACE_SECONDS)
        return time.perf_counter() < self._end

    async def _insist(self, ask: Any, *request: Any) -> LoadResponse | None:
        """Repeat a request until it succeeds; return None at the end of the run."""
        begin = time.perf_counter()
        while True:
            attempt: Coroutine[Any, Any, LoadResponse | None] = ask(*request)
            try:
                # A request may hang for as long as the probe runs, but not longer.
                left = max(self._end - time.perf_counter(), 0.0) + PACE_SECONDS
                answer = await asyncio.wait_for(attempt, left)
            except TimeoutError:
                answer = None
                self.found.failures["no answer"] += 1
            now = time.perf_counter()
            if answer is not None or now >= self._end:
                self.found.times.append(begin - self._start)
                self.found.latencies.append((now - begin) * 1_000)
                return answer
            await asyncio.sleep(PAUSE_SECONDS)


def main() -> None:
    """Read the parameters from standard input and write the findings to standard output."""
    probe = Probe(json.load(sys.stdin))
    # `select` has a resolution of a microsecond, `epoll` of a millisecond.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        found = loop.run_until_complete(probe.run())
    finally:
        loop.close()
    json.dump(vars(found), sys.stdout)


if __name__ == "__main__":
    main()
