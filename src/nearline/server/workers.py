"""A server of several processes: one writer, which has the store open, and readers.

The readers share the port. Each follows the log of the writer in its own memory, with the snapshot
mapped, and answers lists; it passes all other requests on to the writer, over a Unix socket.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple

import msgspec
from msgspec import Struct

from nearline.engine import Recommender
from nearline.log import LogChannel, following
from nearline.server.logs import JsonLog
from nearline.server.worker_metrics import Workers

# Variable that tells a reader process how to reach the writer.
ROLE = "NEARLINE_READER_OF"
# Seconds between looks at the readers, and until a reader that ended at once is started again.
LOOK_SECONDS, RETRY_SECONDS, LONGEST_RETRY = 0.05, 0.5, 30.0
# Seconds after which a reader did not end "at once".
STEADY_SECONDS = 10.0


class ReaderRole(Struct, frozen=True):
    """How a reader reaches its writer: the socket of the log and the socket of the server.

    Attributes
    ----------
    channel, http : str
        Paths of the sockets.
    number : int
        Number of readers, among which rates are divided.
    """

    channel: str
    http: str
    number: int


def reader_role(environment: Mapping[str, str]) -> ReaderRole | None:
    """Return the role of a process that a writer started; None in all other processes."""
    found = environment.get(ROLE)
    return None if not found else msgspec.json.decode(found, type=ReaderRole)


class WorkerPool:
    """The readers of a writer: started once the store is open, and again when they end.

    Parameters
    ----------
    number : int
        Number of readers.
    command : sequence of str
        Command that starts a reader.
    """

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self._number, self._command = number, list(command)
        self._folder = Path(tempfile.mkdtemp(prefix="nearline-"))  # for its owner only
        self.role = ReaderRole(
            str(self._folder / "log.socket"), str(self._folder / "http.socket"), number
        )
        self.counters = Workers()
        self.log: JsonLog | None = None
        self._channel: LogChannel | None = None
        self._stopping, self._lock = Event(), Lock()
        self._threads: list[Thread] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def attach(self, engine: Recommender) -> None:
        """Offer the log of an engine to readers."""
        self._channel = engine.offer_channel(Path(self.role.channel), self.counters.report)

    def start(self) -> None:
        """Start the readers; this process has compiled its kernels, which they load."""
        for _ in range(self._number):
            thread = Thread(target=self._keep_running, name="nearline-worker", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, seconds: float) -> None:
        """End all readers: at first politely, after some seconds by force. Idempotent."""
        with self._lock:
            self._stopping.set()
            running = list(self._processes)
        for process in running:
            process.terminate()
        end = time.monotonic() + seconds
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                if self.log is not None:
                    self.log.write("warning", "a worker was ended by force", seconds=seconds)
        for thread in self._threads:
            thread.join()
        if self._channel is not None:
            self._channel.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _keep_running(self) -> None:
        pause = RETRY_SECONDS
        while True:
            begun = time.monotonic()
            with self._lock:
                if self._stopping.is_set():
                    return
                process = subprocess.Popen(  # noqa: S603 (the command of this process)
                    self._command,
                    stdin=subprocess.PIPE,  # its end tells the reader that the writer has ended
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, ROLE: msgspec.json.encode(self.role).decode()},
                    start_new_session=True,  # Ctrl-C is for the writer, which ends the readers
                )
                self._processes.append(process)
            self.counters.started(process.pid)
            process.wait()
            self.counters.ended(process.pid)
            with self._lock:
                self._processes.remove(process)
            with suppress(OSError):
                assert process.stdin is not None  # noqa: S101 (for the type checker)
                process.stdin.close()
            if self._stopping.is_set():
                return
            self.counters.restarts += 1
            if self.log is not None:
                self.log.write("warning", "a worker ended", code=process.returncode)
            steady = time.monotonic() - begun > STEADY_SECONDS
            pause = RETRY_SECONDS if steady else min(2 * pause, LONGEST_RETRY)
            self._stopping.wait(0.0 if steady else pause)


class WorkerPart(NamedTuple):
    """Opens the store of a process of a server with several processes.

    Attributes
    ----------
    open_engine : callable
        Opens the store.
    workers : WorkerPool or None
        Readers that the writer starts.
    reader : ReaderRole or None
        Role of a reader.
    counters : callable
        Returns the encoded counters of this process.
    """

    open_engine: Callable[[], Recommender]
    workers: WorkerPool | None
    reader: ReaderRole | None
    counters: Callable[[], bytes]

    def open(self) -> Recommender:
        """Open the store, and offer its log to readers or report to the writer."""
        if self.reader is not None:
            end_with_the_writer()
            with following(Path(self.reader.channel)):
                engine = self.open_engine()
            engine.report_to_writer(self.counters, end_this_process)
            return engine
        engine = self.open_engine()
        if self.workers is not None:
            try:
                self.workers.attach(engine)
            except BaseException:
                engine.close()
                raise
        return engine


def end_with_the_writer() -> None:
    """End this process as by SIGTERM when its standard input ends: a thread waits for that."""

    def wait() -> None:
        with suppress(OSError):
            while os.read(sys.stdin.fileno(), 4_096):
                pass
        end_this_process()

    Thread(target=wait, name="nearline-writer", daemon=True).start()


def end_this_process() -> None:
    """Let the server of this process finish and end."""
    os.kill(os.getpid(), signal.SIGTERM)
