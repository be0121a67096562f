"""Cached lists per second of one server, compared with an empty response in the same run.

    python -m benchmarks.hot_read --users 100000 --rounds 5

The limit is a plain ASGI callable that sends a constant body of the same size, on the same server
(granian, uvloop) with the same settings. Both run in processes of their own. `wrk` (one thread, 32
connections) requests the lists of random users from each in turn. The third row is the same server
without a cache. Needs `wrk`.
"""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import uvloop
from benchmarks import machine
from granian.constants import Interfaces
from granian.server.embed import Server

from nearline.engine import Recommender
from nearline.schema import Event, Item
from nearline.server import Limits, create_app

ITEMS, CONNECTIONS = 2_000, 32
PATH = "/v1/users/u{}/recommendations"
REQUESTS = """
local requests = {}
init = function(args)
  for n = 0, tonumber(args[1]) - 1 do
    requests[n + 1] = wrk.format("GET", "/v1/users/u" .. n .. "/recommendations")
  end
end
request = function() return requests[math.random(#requests)] end
"""


def shop(users: int) -> Recommender:
    """Return a recommender whose lists are all personal: two events per user, shared words."""
    engine = Recommender()
    engine.put_items(
        [
            Item(item_id=f"i{n}", timestamp=1.0, text=f"word{n % 50} thing{n % 70} topic{n % 31}")
            for n in range(ITEMS)
        ]
    ).result()
    for first in range(0, users, 5_000):
        engine.append_events(
            [
                Event(user_id=f"u{u}", item_id=f"i{(7 * u + 13 * n) % ITEMS}", timestamp=1.7e9 + n)
                for u in range(first, min(first + 5_000, users))
                for n in range(2)
            ]
        ).result()
    return engine


async def empty(_: Any, __: Any, send: Any) -> None:
    """Send a constant body of the size of a list of ten items."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"769")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b" " * 769, "more_body": False})


async def serve(what: str, port: int, users: int) -> None:
    """Run one of the servers until it is killed; the cache is filled before it listens."""
    app: Any = empty
    if what != "empty":
        entries = users if what == "cached" else 0
        limits = Limits(cache_entries=entries, preload_per_second=0)
        with Path(os.devnull).open("w") as nowhere:
            app = create_app(lambda: shop(users), limits, log_stream=nowhere)
            app.host.start()
            while app.host.state != "ready":
                await asyncio.sleep(0.05)
            for user in range(entries):
                await app.make_ahead((PATH.format(user).encode(), b""))
            await _listen(app, port)
    await _listen(app, port)


async def _listen(app: Any, port: int) -> None:
    server = Server(
        app,
        port=port,
        interface=Interfaces.ASGINL,
        backlog=1_024,
        backpressure=1_024,
        websockets=False,
        log_enabled=False,
    )
    await server.serve()


def ask(port: int, users: int, seconds: int, script: Path) -> dict[str, float]:
    """Request lists of random users; return requests per second, median and p99 in ms."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed; install it to run this benchmark")
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency", "-s", str(script)]
    output = subprocess.run(
        [wrk, *options, f"http://127.0.0.1:{port}/", "--", str(users)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert rate is not None
    return {
        "per_second": float(rate[1]),
        "median_ms": _milliseconds(output, "50%"),
        "p99_ms": _milliseconds(output, "99%"),
    }


def _milliseconds(output: str, name: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)\b", output)
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1_000.0}[found[2]]


def wait_for(port: int) -> None:
    """Wait until the server on `port` answers."""
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH.format(0)}").read()
        except OSError:
            time.sleep(0.1)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--port", type=int, default=18_080)
    parser.add_argument("--serve", choices=("empty", "cached", "computed"))
    given = parser.parse_args()
    if given.serve:
        uvloop.run(serve(given.serve, given.port, given.users))
        return
    kinds = ("empty", "cached", "computed")
    ports = {kind: given.port + n for n, kind in enumerate(kinds)}
    command = [sys.executable, "-m", "benchmarks.hot_read", "--users", str(given.users)]
    servers = [
        subprocess.Popen([*command, "--serve", kind, "--port", str(port)])
        for kind, port in ports.items()
    ]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "requests.lua"
            script.write_text(REQUESTS)
            for port in ports.values():
                wait_for(port)
            for _ in range(given.rounds):
                for kind, port in ports.items():
                    found[kind].append(ask(port, given.users, given.seconds, script))
    finally:
        for server in servers:
            server.kill()
    rows: list[dict[str, Any]] = []
    for kind, runs in found.items():
        figures = {name: machine.spread([run[name] for run in runs]) for name in runs[0]}
        print(f"{kind:>9}", {name: figure["median"] for name, figure in figures.items()})
        rows.append({"server": kind, **figures})
    pairs = zip(found["cached"], found["empty"], strict=True)
    share = machine.spread([hot["per_second"] / none["per_second"] for hot, none in pairs])
    print("cached / empty, round by round:", share)
    settings = {"users": given.users, "connections": CONNECTIONS, "seconds": given.seconds}
    print(machine.write("hot_read", settings | {"share": share}, rows))


if __name__ == "__main__":
    main()
