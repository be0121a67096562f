"""HTTP servers that share a log, for benchmarks, and their lists."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import httpx
from litestar.testing import TestClient

from nearline.engine import Recommender
from nearline.log import open_log
from nearline.schema import Event
from nearline.server.app import create_app
from nearline.testing.servers import PostgresServer
from nearline.testing.servers.base import wait_until

SECONDS = 600.0
USERS = [f"u{n}" for n in range(40)]
ITEMS = [f"i{n}" for n in range(60)]
Answers = dict[str, Any]


class Replica:
    """A process with ``nearline serve``, on a port of its own.

    Attributes
    ----------
    build : str or None
        Folder with the source of another build, which the next start uses.
    """

    def __init__(
        self, server: PostgresServer, folder: str, name: str, build: str | None = None
    ) -> None:
        self.build = build
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
                env = os.environ | ({} if self.build is None else {"PYTHONPATH": self.build})
                with self._output.open("ab") as output:
                    self._process = subprocess.Popen(
                        [sys.executable, *command, "--port", str(self.port)],
                        stdout=output,
                        stderr=output,
                        env=env,
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

    def stop(self) -> None:
        """End the process in order, as before an upgrade."""
        if self._process is not None:
            self._process.terminate()
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

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> int | None:
        """Send a request on a connection of its own; return the status, None without an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, content, {"content-type": "application/json"})
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        """Read."""
        return self._http.get(path, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._http.close()


def answers_of(server: Replica, offset: int) -> Answers:
    """Return what a server answers once it reflects an offset."""

    def read(path: str) -> Any:
        found: list[Any] = []

        def answered() -> bool:
            try:
                answer = server.get(path, {"Nearline-Min-Offset": str(offset)})
            except httpx.HTTPError:
                return False
            found.append(_content(answer))
            return answer.status_code != 503

        wait_until(answered, path, SECONDS)
        return found[-1]

    return _answers(read)


def oracle(url: str) -> tuple[Answers, int, Counter[str | None]]:
    """Return what one engine in memory answers that gets the same events.

    Returns
    -------
    answers : dict
    offset : int
        End of the log.
    ids : Counter
        How often each event ID is in the log.
    """
    with open_log(url, read_only=True) as log, Recommender() as engine:
        events = [record for _, record in log.read() if isinstance(record, Event)]
        engine.append_events(events).result()
        quiet = io.StringIO()
        with TestClient(create_app(lambda: engine, log_stream=quiet)) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, "the engine", SECONDS)
            answers = _answers(lambda path: _content(client.get(path)))
        return answers, log.end, Counter(event.event_id for event in events)


def _content(answer: httpx.Response) -> Any:
    """Return the content of an answer, empty for users and items without events."""
    return {} if answer.status_code == 404 else answer.json()


def _answers(read: Callable[[str], Any]) -> Answers:
    """Return histories, and the items of lists with their scores and tiers."""
    users = {user: read(f"/v1/users/{user}") for user in USERS}
    lists = {user: read(f"/v1/users/{user}/recommendations?k=20").get("items") for user in USERS}
    similar = {item: read(f"/v1/items/{item}/similar?k=20").get("items") for item in ITEMS}
    popular = read("/v1/popular?k=60")
    return {"users": users, "lists": lists, "similar": similar, "popular": popular}
