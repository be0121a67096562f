"""Server processes of benchmarks: start, requests, memory and kill."""

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
# Interval of readiness requests. Each takes the server half a millisecond, so they do not delay it.
POLL_SECONDS = 0.01
OK = 200
# Environment variables that a child process needs to find Python, packages and scratch folders;
# settings of Nearline and thread counts are not inherited.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "NUMBA_CACHE_DIR")


class BenchFailed(NearlineError, RuntimeError):
    """Error of a benchmark: a server or load generator failed; see the message for its output."""


def clean_environment() -> dict[str, str]:
    """Return the environment variables of child processes: those in `KEPT`."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def free_port() -> int:
    """Return the number of a TCP port that is free on the loopback interface."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(module: str, *arguments: str | Path) -> list[str]:
    """Return the command that runs a module with the current Python interpreter."""
    return [sys.executable, "-m", module, *map(str, arguments)]


class Server:
    """Server process on a loopback port, which runs within a ``with`` block.

    The server is ready at the start of the block, and killed at its end.

    Parameters
    ----------
    command : callable
        Returns the command line for a port.
    output : Path
        File for the output of the process.
    ready : str
        URL path that returns status 200 when the server is ready.
    ready_seconds : float
        Maximum number of seconds until then.

    Attributes
    ----------
    ready_seconds : float
        Seconds from starting the process to the first status 200.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        output: Path,
        *,
        ready: str = "/readyz",
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._command = command
        self._output = output
        self._ready = ready
        self._limit = ready_seconds
        self.port = 0
        self.ready_seconds = 0.0
        self._process: subprocess.Popen[bytes]

    @classmethod
    def of(cls, store: Path, *, ready_seconds: float = READY_SECONDS) -> Self:
        """Return a server of the store in a folder, to be started with ``nearline serve``."""
        output = store.with_suffix(".txt")

        def command(port: int) -> list[str]:
            return python("nearline.cli", "serve", "--store", store, "--port", str(port))

        return cls(command, output, ready_seconds=ready_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises
        ------
        BenchFailed
            The process ended, or was not ready in time.
        """
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
        while time.perf_counter() - begin < self._limit:
            if self._answers():
                return
            try:
                self._process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise BenchFailed(f"the server ended before it was ready: {self.tail()}")
        raise BenchFailed(f"the server was not ready after {self._limit:g} s: {self.tail()}")

    def _answers(self) -> bool:
        try:
            return self.ask("GET", self._ready)[0] == OK
        except (OSError, HTTPException):  # the port is not open yet
            return False

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request on a new connection; return the status and the body.

        A JSON response is decoded; other bodies are returned as bytes.

        Parameters
        ----------
        method, path : str
            HTTP method and URL path.
        body : object
            Value to send as JSON; None sends no body.
        """
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
        """Return the body of ``GET path``, as described in `ask`.

        Raises
        ------
        BenchFailed
            The status is not 200.
        """
        status, body = self.ask("GET", path)
        if status != OK:
            raise BenchFailed(f"GET {path} gave {status}: {body}")
        return body

    @property
    def memory(self) -> float:
        """Resident memory of the process without mapped files, in MB; see `own_memory`."""
        return own_memory(self._process.pid)

    def kill(self) -> None:
        """Kill the process without a chance to clean up, to simulate a crash."""
        self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """Return the last five lines of the output of the process."""
        return "\n".join(self._output.read_text(errors="replace").splitlines()[-5:])


def own_memory(pid: int) -> float:
    """Return the resident memory of a process, without mapped files, in MB (10^6 bytes).

    Mapped files, such as snapshots, are not counted, because the operating system can reclaim their
    pages when memory is short. On systems without ``/proc``, they are included.
    """
    statm = Path(f"/proc/{pid}/statm")
    if statm.exists():
        _, resident, shared, *_ = map(int, statm.read_text().split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1e6
    resident_kb = run_command(["ps", "-o", "rss=", "-p", str(pid)])
    return int(resident_kb) * 1_024 / 1e6


def run_command(command: Sequence[str], given: str = "") -> str:
    """Run a command and return its standard output.

    Parameters
    ----------
    command : sequence of str
        Command line. It is run with the variables of `clean_environment`.
    given : str
        Standard input of the command.

    Raises
    ------
    BenchFailed
        The exit code is not 0.
    """
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
