"""HTTP servers that share a log, for benchmarks, and their lists."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

from nearline.engine import Recommender
from nearline.log import open_log
from nearline.schema import Event
from nearline.testing.servers import PostgresServer
from nearline.testing.servers.base import wait_until

SECONDS = 120.0
USERS = [f"u{n}" for n in range(40)]


class Replica:
    """A process with ``nearline serve``, on a port of its own."""

    def __init__(self, server: PostgresServer, folder: str, name: str) -> None:
        self._store = server.url(
            schema="chaos", folder=f"{folder}/{name}", snapshots=f"{folder}/snapshots"
        )
        self._output = Path(folder) / f"{name}.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5.0)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the process and wait until it is ready; start it again if it ends before."""

        def ready() -> bool:
            if self._process is None or self._process.poll() is not None:
                command = ("-m", "nearline.cli", "serve", "--store", self._store)
                with self._output.open("ab") as output:
                    self._process = subprocess.Popen(
                        [sys.executable, *command, "--port", str(self.port)],
                        stdout=output,
                        stderr=output,
                    )
            time.sleep(0.1)
            try:
                return self._http.get("/readyz").status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(ready, "the start of a server", SECONDS)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop the process from running."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process run again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def post(self, event: dict[str, Any]) -> httpx.Response:
        """Send an event."""
        return self._http.post("/v1/events", json=event)

    def try_post(self, event: dict[str, Any]) -> bool:
        """Send an event on a connection of its own; return whether it was acknowledged."""
        url = f"http://127.0.0.1:{self.port}/v1/events"
        try:
            return httpx.post(url, json=event, timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        """Read."""
        return self._http.get(path, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._http.close()


def lists_of(server: Replica, offset: int) -> dict[str, Any]:
    """Return the lists of a server once it reflects an offset."""

    def read(path: str) -> Any:
        found: list[Any] = []

        def answered() -> bool:
            answer = server.get(path, {"Nearline-Min-Offset": str(offset)})
            found.append(answer.json())
            return answer.status_code == 200

        wait_until(answered, path, SECONDS)
        return found[-1]

    lists = [read(f"/v1/users/{user}/recommendations?k=10") for user in USERS]
    return {
        "offset": lists[0]["offset"],
        "lists": [[(line["item_id"], line["score"]) for line in one["items"]] for one in lists],
    }


def oracle_lists(url: str) -> dict[str, Any]:
    """Return the lists of one engine in memory that gets the same records."""
    with open_log(url, read_only=True) as log, Recommender() as engine:
        events = [record for _, record in log.read() if isinstance(record, Event)]
        engine.append_events(events).result()
        lists = [engine.recommend(user, k=10) for user in USERS]
        return {
            "offset": log.end,
            "lists": [[(line.item_id, line.score) for line in one] for one in lists],
        }
