"""The server under test, and helpers that faults have in common."""

import asyncio
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nearline as nl
from nearline.bench.harness import clean_environment, free_port, own_memory, python
from nearline.bench.load import Connection
from nearline.log import SQLiteLog

READY_SECONDS = 60.0
# Seconds after its time in which a load generator must end.
GRACE = 15.0
STOP_SECONDS = 60.0


@dataclass
class Target:
    """A server of a store on a fixed port, which can be killed and started again.

    Attributes
    ----------
    store : Path
        Folder of the store.
    broken : str or None
        Guarantee that is broken on purpose; see `benchmarks.robustness.broken`.
    peak_mb : float
        Largest resident memory that `watch` observed, without mapped files.
    """

    store: Path
    broken: str | None = None
    port: int = field(default_factory=free_port)
    peak_mb: float = 0.0
    process: "subprocess.Popen[bytes]" = field(init=False)

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        command = python("nearline.cli")
        if self.broken is not None:
            command = python("benchmarks.robustness.broken", self.broken)
        command += ["serve", "--store", str(self.store), "--port", str(self.port)]
        with self.store.with_suffix(".txt").open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env=clean_environment()
            )
        limit = time.perf_counter() + READY_SECONDS
        while time.perf_counter() < limit:
            with suppress(OSError):
                if (await self.ask("GET", "/readyz"))[0] == 200:
                    return
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the server did not start; see {self.store.with_suffix('.txt')}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end of the process."""
        self.process.send_signal(number)
        try:
            await asyncio.to_thread(self.process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    async def watch(self) -> None:
        """Sample the memory of the process until cancelled."""
        while True:
            with suppress(OSError, ValueError):
                self.peak_mb = max(self.peak_mb, own_memory(self.process.pid))
            await asyncio.sleep(0.2)

    async def probe(self, name: str, seconds: float, seed: int, users: int) -> dict[str, Any]:
        """Run `benchmarks.robustness.probe` in a process of its own; return its findings."""
        question = {
            "port": self.port,
            "seconds": seconds,
            "name": name,
            "seed": seed,
            "users": users,
        }
        process = await asyncio.create_subprocess_exec(
            *python("benchmarks.robustness.probe"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate(json.dumps(question).encode())
        findings: dict[str, Any] = json.loads(output)
        return findings

    def log_end(self) -> int:
        """Return the end of the log; the server must not be running."""
        with SQLiteLog(self.store / "log.db") as log:
            return log.end

    def stored(self, start: int) -> Counter[str]:
        """Return how often the log has each event ID from an offset on."""
        with SQLiteLog(self.store / "log.db") as log:
            return Counter(
                record.event_id
                for _, record in log.read(start)
                if isinstance(record, nl.Event) and record.event_id is not None
            )

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send a request with a JSON body, if any; return the status and the body."""
        return await self.send(method, path, b"" if body is None else json.dumps(body).encode())

    async def send(self, method: str, path: str, data: bytes) -> tuple[int, bytes]:
        """Send a request on a new connection; return the status and the body."""
        connection = await self.connect()
        try:
            answer = await connection.ask(method, path, data)
        finally:
            connection.close()
        return answer.status, answer.body

    async def connect(self) -> Connection:
        """Open an HTTP connection."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, "127.0.0.1", self.port))[1]

    def limit_descriptors(self, free: int | None) -> None:
        """Leave `free` file descriptors to the process; None lifts the limit."""
        pid = self.process.pid
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard if free is None else used + free, hard))

    def limit_files(self, size: int | None) -> None:
        """Limit the size of files that the process writes, in bytes, as a full disk does."""
        limit = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


@dataclass
class Fault:
    """State of a fault that is in progress.

    Attributes
    ----------
    end : float
        When the fault must end, by `time.perf_counter`.
    """

    target: Target
    rng: random.Random
    end: float

    @property
    def active(self) -> bool:
        """Whether the fault must go on."""
        return time.perf_counter() < self.end

    async def wait(self) -> None:
        """Sleep until the end of the fault."""
        await asyncio.sleep(max(0.0, self.end - time.perf_counter()))

    @asynccontextmanager
    async def raw(self, count: int, first: bytes = b"") -> AsyncIterator[list[Any]]:
        """Open connections and send the same bytes on each; yield the (reader, writer) pairs."""
        pairs = []
        for _ in range(count):
            with suppress(OSError):
                pair = await asyncio.open_connection("127.0.0.1", self.target.port)
                pair[1].write(first)
                pairs.append(pair)
        try:
            yield pairs
        finally:
            for _, writer in pairs:
                writer.transport.abort()

    async def repeat(
        self, work: Callable[[int], Awaitable[Any]], workers: int = 1, pause: float = 0.0
    ) -> None:
        """Call `work` with increasing numbers in several workers until the end of the fault."""
        numbers = iter(range(sys.maxsize))

        async def worker() -> None:
            while self.active:
                with suppress(OSError):
                    await work(next(numbers))
                await asyncio.sleep(pause)

        await asyncio.gather(*(worker() for _ in range(workers)))

    async def load(self, kind: str, **more: Any) -> None:
        """Run the load generator in a process of its own until the end of the fault."""
        question = {
            "kind": kind,
            "port": self.target.port,
            "seconds": max(0.1, self.end - time.perf_counter()),
            "connections": 32,
            "users": 2_000,
            "items": 2_000,
            "seed": self.rng.randrange(2**31),
            "name": f"load{self.rng.randrange(2**31)}",
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            *python("nearline.bench.load"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        asked = json.dumps(question).encode()
        try:
            async with asyncio.timeout(question["seconds"] + GRACE):
                _, errors = await process.communicate(asked)
        except TimeoutError:  # it waits for a server that was stopped or killed
            process.kill()
            await process.wait()
            return
        if process.returncode != 0:
            raise RuntimeError(f"the load generator failed: {errors.decode()[-1_000:]}")
