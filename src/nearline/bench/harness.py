"""Real servers in processes of their own: start, ask, weigh, stop, kill."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import socket
from typing import Any, Self

from nearline.errors import NearlineError

READY_SECONDS = 120.0
# Seldom enough to leave the server its time: a question costs it half a millisecond.
POLL_SECONDS = 0.01
OK = 200
# What a child needs to find its Python, its packages and its scratch folder; nothing that sets
# Nearline itself, and no thread counts.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "NUMBA_CACHE_DIR")


class BenchFailed(NearlineError, RuntimeError):
    """A server or a load generator of a measurement failed; its last lines are in the message."""


def clean_environment() -> dict[str, str]:
    """Environment of a child: what `KEPT` names."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(module: str, *arguments: str | Path) -> list[str]:
    """Return the command that runs a module in a Python like this one."""
    return [sys.executable, "-m", module, *map(str, arguments)]


class Server:
    """A server process on a port of loopback; ready when the ``with`` block begins.

    It is killed where the block ends: what it serves is thrown away.

    Parameters
    ----------
    command : callable
        Gives the command for a port.
    output : Path
        File for what the process prints.
    ready : str
        Path that answers 200 once the server can answer.

    Attributes
    ----------
    ready_seconds : float
        From starting the process to the first 200.
    """

    def __init__(
        self, command: Callable[[int], Sequence[str]], output: Path, *, ready: str = "/readyz"
    ) -> None:
        self._command = command
        self._output = output
        self._ready = ready
        self.port = 0
        self.ready_seconds = 0.0
        self._process: subprocess.Popen[bytes]

    @classmethod
    def of(cls, store: Path) -> Self:
        """Return the server of a store: ``nearline serve``."""
        output = store.with_suffix(".txt")

        def command(port: int) -> list[str]:
            return python("nearline.cli", "serve", "--store", store, "--port", str(port))

        return cls(command, output)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.port = free_port()
        begin = time.perf_counter()
        with self._output.open("wb") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - a command of ours
                list(self._command(self.port)),
                stdout=sink,
                stderr=sink,
                env=clean_environment(),
            )
        try:
            self._wait(begin)
        except BaseException:
            self.kill()
            raise
        self.ready_seconds = time.perf_counter() - begin

    def _wait(self, begin: float) -> None:
        while time.perf_counter() - begin < READY_SECONDS:
            if self._answers():
                return
            try:
                self._process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise BenchFailed(f"the server ended before it was ready: {self.tail()}")
        raise BenchFailed(f"the server was not ready after {READY_SECONDS:g} s: {self.tail()}")

    def _answers(self) -> bool:
        try:
            return self.ask("GET", self._ready)[0] == OK
        except (OSError, HTTPException):  # nobody listens yet
            return False

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send one request; return its status and decoded body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=READY_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            headers = {} if body is None else {"content-type": "application/json"}
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get_content_type()
        return answer.status, json.loads(text) if kind.endswith("json") else text

    def get(self, path: str) -> Any:
        """Return what a path holds; it must be there."""
        status, body = self.ask("GET", path)
        if status != OK:
            raise BenchFailed(f"GET {path} gave {status}: {body}")
        return body

    @property
    def memory(self) -> float:
        """Memory of its own in MB: see `own_memory`."""
        return own_memory(self._process.pid)

    def kill(self) -> None:
        """Kill the process at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """Return the last lines that the process printed."""
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-5:])


def own_memory(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes), pages of mapped files left out.

    A snapshot is mapped: its pages come in as they are read, belong to the system's cache and are
    given back when memory is short. Where the system does not tell them apart, all is counted.
    """
    statm = Path(f"/proc/{pid}/statm")
    if statm.exists():
        _, resident, shared, *_ = map(int, statm.read_text().split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1e6
    told = run_command(["ps", "-o", "rss=", "-p", str(pid)])
    return int(told) * 1_024 / 1e6


def run_command(command: Sequence[str], given: str = "") -> str:
    """Run a command to its end in the clean environment; return what it printed."""
    done = subprocess.run(  # noqa: S603 - a command of ours
        list(command),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise BenchFailed(f"{' '.join(command[:4])} ended with {done.returncode}: {last}")
    return done.stdout
