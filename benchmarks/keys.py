"""Cost of API keys: the check of a key, and cached lists with keys and without.

    python -m benchmarks.keys --seconds 2 --write

The check is timed alone. A cached list is requested from two servers in processes of their own, one
with keys, a rate and audit, and one without, by `wrk` over 32 connections in turns, so that both
see the same machine. Limits: 5 µs for a check, and 0.95 of the rate without keys. Needs `wrk`.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.namespaces import ask, free_port

import nearline as nl
from nearline.trust.keyring import Keyring
from nearline.trust.keys import KeyStore

CHECK_LIMIT, READ_LIMIT = 5.0, 0.95
ROUNDS = 11
STOP_SECONDS = 30
# A list of the personal tier alone, which is cached.
PATH = "/v1/users/u1/recommendations?k=2"


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


def rate(port: int, key: str, seconds: int) -> float:
    """Return the requests a second for a cached list; the server without keys ignores the key."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed; install it to run this benchmark")
    load = [wrk, "-t1", "-c32", f"-d{seconds}s", "-H", f"Authorization: Bearer {key}"]
    output = subprocess.run(
        [*load, f"http://127.0.0.1:{port}{PATH}"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if found is None or "Non-2xx" in output:
        raise SystemExit(f"not all requests were answered: {output}")
    return float(found[1])


def rates(folder: Path, seconds: int) -> tuple[float, float, float]:
    """Return the median rates (requests per second) without and with keys, and their ratio.

    The ratio is the median of those of the rounds.
    """
    key = KeyStore(folder / "keyed").create(["read"], now=time.time()).key
    ports = {"plain": free_port(), "keyed": free_port()}
    options = {"plain": (), "keyed": ("--audit", "--key-rate", "1000000")}
    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(server(folder / name, port, *options[name]))
        found: dict[str, list[float]] = {"plain": [], "keyed": []}
        for turn in range(ROUNDS + 1):  # the first is not counted
            for name in list(ports)[:: -1 if turn % 2 else 1]:
                measured = rate(ports[name], key, seconds)
                if turn:
                    found[name].append(measured)
    ratios = [keyed / plain for plain, keyed in zip(*found.values(), strict=True)]
    return (*map(statistics.median, found.values()), statistics.median(ratios))


def fill(folder: Path) -> None:
    """Create a store with a few events."""
    with nl.Recommender(folder) as rec:
        for user in range(50):
            for item in range(5):
                rec.observe(f"u{user}", f"i{(user * 7 + item * 3) % 40}", timestamp=1.7e9)


def main() -> None:
    """Run the benchmark, print its result and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="duration of a run")
    parser.add_argument("--write", action="store_true", help="write the result to a file")
    options = parser.parse_args()
    machine.end_on_signals()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("plain", "keyed"):
            fill(folder / part)
        plain, keyed, ratio = rates(folder, options.seconds)
        made = KeyStore(folder / "keyed").create(["read"], now=time.time())
        check = check_microseconds(folder / "keyed", made.key.encode())
    result = {
        "check_microseconds": round(check, 2),
        "without_keys_per_second": round(plain),
        "with_keys_per_second": round(keyed),
        "ratio": round(ratio, 3),
        "passed": check <= CHECK_LIMIT and ratio >= READ_LIMIT,
    }
    print(json.dumps(result, indent=1))
    if options.write:
        machine.write("keys", {"seconds": options.seconds}, [result])


if __name__ == "__main__":
    main()
