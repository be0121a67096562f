"""Cost of API keys: the check of a key, and cached lists with keys and without.

    python -m benchmarks.keys --requests 42000 --write

The check is timed alone. Cached lists are requested from two servers in processes of their own, one
with keys, a rate and audit, and one without, over kept connections in turns, so that both see the
same machine. Limits: 5 µs for a check, and 0.95 of the rate without keys.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.namespaces import ask, free_port

import nearline as nl
from nearline.trust.keyring import Keyring
from nearline.trust.keys import KeyStore

CHECK_LIMIT, READ_LIMIT = 5.0, 0.95
ROUNDS, PIPELINED = 21, 50
STOP_SECONDS = 30
HEAD, END = b"HTTP/1.1 200", b"\r\n\r\n"
PATH = "/v1/users/u1/recommendations"


def check_microseconds(folder: Path, key: bytes, calls: int = 20_000) -> float:
    """Return the median time of a check of a valid key, in microseconds."""
    ring = Keyring(KeyStore(folder), time.time)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls // ROUNDS):
            ring.grant(key)
        times.append((time.perf_counter() - began) / (calls // ROUNDS))
    return 1e6 * statistics.median(times)


@contextmanager
def server(store: Path, port: int, *options: str) -> Iterator[None]:
    """Run a server that is ready while the context lasts, and stop it at its end."""
    command = [sys.executable, "-m", "nearline.cli", "serve", "--store", str(store)]
    sink = subprocess.DEVNULL
    process = subprocess.Popen([*command, "--port", str(port), *options], stdout=sink, stderr=sink)
    try:
        while not ready(port):
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with status {process.returncode}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready(port: int) -> bool:
    """Return whether a server answers that it is ready."""
    try:
        return ask(port, "/readyz")[0] == 200
    except OSError:
        return False


def seconds(connection: socket.socket, request: bytes, body: int, n: int) -> float:
    """Return the seconds that `n` requests on one connection take, 50 at a time."""
    began = time.perf_counter()
    for _ in range(n // PIPELINED):
        connection.sendall(request * PIPELINED)
        read = b""
        while read.count(HEAD) < PIPELINED or len(read) - read.rfind(END) - len(END) < body:
            read += connection.recv(1 << 20)
    return time.perf_counter() - began


def request_of(key: str | None) -> bytes:
    """Return the bytes of a request for a list."""
    header = "" if key is None else f"Authorization: Bearer {key}\r\n"
    return f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode()


def warm(connection: socket.socket, request: bytes) -> int:
    """Send requests until the answer is cached; return the bytes of its body."""
    read = b""
    for _ in range(200):
        connection.sendall(request)
        time.sleep(0.005)
        read = connection.recv(1 << 20)
    return len(read) - read.rfind(END) - len(END)


def rates(folder: Path, requests: int) -> tuple[float, float]:
    """Return the median rates (requests per second) without and with keys."""
    key = KeyStore(folder / "keyed").create(["read"], now=time.time()).key
    ports = {"plain": free_port(), "keyed": free_port()}
    options = {"plain": (), "keyed": ("--audit", "--key-rate", "1000000")}
    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(server(folder / name, port, *options[name]))
        found: dict[str, list[float]] = {"plain": [], "keyed": []}
        asked = {"plain": request_of(None), "keyed": request_of(key)}
        links = {
            name: stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            for name, port in ports.items()
        }
        sizes = {name: warm(links[name], asked[name]) for name in ports}
        for _ in range(ROUNDS):
            for name in ports:
                n = requests // ROUNDS // PIPELINED * PIPELINED
                found[name].append(n / seconds(links[name], asked[name], sizes[name], n))
        return statistics.median(found["plain"]), statistics.median(found["keyed"])


def fill(folder: Path) -> None:
    """Create a store with a few events."""
    with nl.Recommender(folder) as rec:
        for user in range(50):
            for item in range(5):
                rec.observe(f"u{user}", f"i{(user * 7 + item * 3) % 40}", timestamp=1.7e9)


def main() -> None:
    """Run the benchmark, print its result and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=42_000)
    parser.add_argument("--write", action="store_true", help="write the result to a file")
    options = parser.parse_args()
    machine.end_on_signals()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("plain", "keyed"):
            fill(folder / part)
        plain, keyed = rates(folder, options.requests)
        made = KeyStore(folder / "keyed").create(["read"], now=time.time())
        check = check_microseconds(folder / "keyed", made.key.encode())
    result = {
        "check_microseconds": round(check, 2),
        "without_keys_per_second": round(plain),
        "with_keys_per_second": round(keyed),
        "ratio": round(keyed / plain, 3),
        "passed": check <= CHECK_LIMIT and keyed / plain >= READ_LIMIT,
    }
    print(json.dumps(result, indent=1))
    if options.write:
        machine.write("keys", {"requests": options.requests}, [result])


if __name__ == "__main__":
    main()
