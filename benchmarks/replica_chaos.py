"""Servers that share a log under load: faults of all kinds, and an upgrade one by one."""

import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

from benchmarks.replica_servers import ITEMS, USERS, Replica, answers_of, oracle

from nearline.testing.servers import PostgresServer, postgres

WRITERS = 2
FAULTS = ("kill", "freeze", "cut", "freeze the database", "kill the database")
# Ends connections of servers to the database, as a network does that fails.
_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'nearline' AND random() < 0.7
"""


class Load:
    """Clients that write and read, each through the servers in turn until one answers.

    Attributes
    ----------
    acknowledged : set of str
        IDs of events.
    reads, failed : int
        Lists that were requested, and those that no server answered.
    """

    def __init__(self, servers: Sequence[Replica]) -> None:
        self._servers = servers
        self._done = threading.Event()
        self._kept = threading.Lock()
        self.acknowledged: set[str] = set()
        self.reads = self.failed = 0
        self._threads = [
            threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(WRITERS)
        ]
        self._threads.append(threading.Thread(target=self._read, daemon=True))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Return a context during which the clients run."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join()

    def _write(self, number: int) -> None:
        for at in count():
            if self._done.is_set():
                return
            user, item = USERS[(at * 11 + number) % len(USERS)], ITEMS[at * 7 % len(ITEMS)]
            event_id = f"{number}-{at}"
            event = {"user_id": user, "item_id": item, "timestamp": 1e9 + at, "event_id": event_id}
            if any(one.request("POST", "/v1/events", event) == 200 for one in self._servers):
                with self._kept:
                    self.acknowledged.add(event_id)

    def _read(self) -> None:
        for at in count():
            if self._done.is_set():
                return
            path = f"/v1/users/{USERS[at % len(USERS)]}/recommendations"
            shift = at % len(self._servers)
            order = [*self._servers[shift:], *self._servers[:shift]]
            self.reads += 1
            self.failed += not any(one.request("GET", path) == 200 for one in order)
            time.sleep(0.01)


def chaos(times: int) -> list[dict[str, Any]]:
    """Kill, freeze or cut servers, or the database, while events arrive; compare at the end."""
    chance, faults = random.Random(0), Counter[str]()
    with postgres(15) as server, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = [stack.enter_context(Replica(server, folder, name)) for name in "abc"]
        load = Load(servers)
        with load.running():
            for _ in range(times):
                time.sleep(chance.uniform(0.1, 0.5))
                kind = chance.choice(FAULTS)
                _one_fault(kind, chance.choice(servers), server)
                faults[kind] += 1
        return [{"faults": times, **faults, **_outcome(load, server, servers)}]


def _one_fault(kind: str, one: Replica, server: PostgresServer) -> None:
    if kind == "kill":
        one.kill()
        one.start()
    elif kind == "freeze":
        one.freeze()
        time.sleep(0.5)
        one.thaw()
    elif kind == "cut":
        server.execute(_CUT)
    elif kind == "freeze the database":
        server.freeze()
        time.sleep(0.5)
        server.thaw()
    else:
        server.kill()
        server.start()


def upgrade(times: int) -> list[dict[str, Any]]:
    """Replace the build of each server in turn, to this build and back, while clients run."""
    old = os.environ.get("OLD_BUILD")
    if old is None:
        print("upgrade: set OLD_BUILD to the folder src of an older build")
        return []
    with postgres(15) as server, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = [stack.enter_context(Replica(server, folder, name, old)) for name in "abc"]
        load = Load(servers)
        with load.running():
            for number in range(times):
                for one in servers:
                    time.sleep(0.5)
                    one.build = old if number % 2 else None
                    one.stop()
                    one.start()
            time.sleep(0.5)
        return [{"upgrades": times, **_outcome(load, server, servers)}]


def _outcome(load: Load, server: PostgresServer, servers: Sequence[Replica]) -> dict[str, Any]:
    """Compare the log with what was acknowledged, and each server with one engine."""
    expected, offset, ids = oracle(server.url(schema="chaos"))
    found = [answers_of(one, offset) for one in servers]
    return {
        "acknowledged": len(load.acknowledged),
        "lost": len(load.acknowledged - ids.keys()),
        "double": sum(number > 1 for number in ids.values()),
        "reads": load.reads,
        "failed reads": load.failed,
        "equal": [answers == expected for answers in found],
        "differ in": [[part for part in one if one[part] != expected[part]] for one in found],
    }
