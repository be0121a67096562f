"""Cost of viewers of the dashboard, and the delay until an event is on the screen.

    python -m benchmarks.dashboard --users 20000 --rounds 5

A server answers cached lists (`benchmarks.hot_read`, which needs `wrk`) while, in turn, nobody
looks; one dashboard is open (its stream of events, and its request of the metrics every two
seconds); 100 viewers read the stream; and 100 viewers have opened the stream and read nothing.
Viewers run in a process of their own on the same machine, so their own work counts, too.

Then Chromium opens the page *Live flow*. The delay of an event is the time from its request until a
row with it is in the document. Without playwright or Chromium this part is left out, as are the
first views: the time from opening an address, with an empty browser cache, until the page shows
what it is for.
"""

import argparse
import http.client
import json
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.hot_read import REQUESTS, ask, wait_for

SITUATIONS = {
    "nobody": "",
    "one dashboard": "1 metrics",
    "100 viewers": "100",
    "100 viewers that do not read": "100 still",
}
METRICS_SECONDS = 2.0
ACCEPTED = b"HTTP/1.1 200 "
STREAM = b"GET /v1/flow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
# Address of a page, and what it is for.
FIRST_VIEWS = {
    "the overview": ("", ".tile b"),
    "a user": ("#/user/u1", ".list > li"),
    "the catalogue": ("#/items", "tbody tr"),
}
FIRST_ROUNDS = 10
# Records the time at which the text of a row appears.
WATCH = """() => {
  window.seen = {};
  new MutationObserver(() => {
    for (const one of document.querySelectorAll("tbody tr")) {
      const name = one.textContent.match(/event-(\\d+)/)?.[1];
      if (name && !(name in seen)) seen[name] = Date.now();
    }
  }).observe(document.body, { childList: true, subtree: true });
}"""


def view(port: int, number: int, *, reads: bool, metrics: bool) -> None:
    """Follow the stream `number` times until the process is killed."""
    streams: list[socket.socket] = []
    for _ in range(number):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(STREAM)
        status = one.recv(len(ACCEPTED))
        if status != ACCEPTED:
            raise SystemExit(f"stream {len(streams) + 1} was refused: {status!r}")
        streams.append(one)
    poll = select.epoll()
    for one in streams if reads else []:
        poll.register(one, select.EPOLLIN)
    by_number = {one.fileno(): one for one in streams}
    print("following", flush=True)
    due = time.monotonic()
    while True:
        if metrics and time.monotonic() >= due:
            due = time.monotonic() + METRICS_SECONDS
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
                connection.request("GET", "/metrics")
                connection.getresponse().read()
        for handle, _ in poll.poll(0.5):
            if not by_number[handle].recv(1 << 16):
                raise SystemExit("the server has closed a stream")


def under(situation: str, port: int, users: int, seconds: int, script: Path) -> dict[str, float]:
    """Return the rate of lists and the server's memory growth (MiB) while others look."""
    if not SITUATIONS[situation]:
        return ask(port, users, seconds, script)
    command = [sys.executable, "-m", "benchmarks.dashboard", "--port", str(port)]
    viewers = subprocess.Popen(
        [*command, "--view", SITUATIONS[situation]], stdout=subprocess.PIPE, text=True
    )
    try:
        assert viewers.stdout is not None
        assert viewers.stdout.readline() == "following\n"
        figures = ask(port, users, seconds, script)
        if viewers.poll() is not None:
            raise SystemExit(f"the viewers ended before the measurement: {situation}")
        return figures
    finally:
        viewers.kill()
        viewers.wait()


def memory(process: subprocess.Popen[bytes]) -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser; None without playwright or Chromium."""
    path = os.environ.get("NEARLINE_CHROMIUM") or shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def first_views(browser: Any, port: int, rounds: int) -> dict[str, list[float]]:
    """Return the times in ms until pages show their content, by page."""
    found: dict[str, list[float]] = {name: [] for name in FIRST_VIEWS}
    for _ in range(rounds):
        for name, (address, content) in FIRST_VIEWS.items():
            context = browser.new_context(locale="en-US")
            page = context.new_page()
            began = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/ui{address}", wait_until="commit")
            page.locator(content).first.wait_for()
            found[name].append(1e3 * (time.perf_counter() - began))
            context.close()
    return found


def delays(browser: Any, port: int, events: int) -> list[float]:
    """Return the time in ms until each event is on the screen."""
    sent: dict[str, float] = {}
    page = browser.new_page(locale="en-US")
    page.goto(f"http://127.0.0.1:{port}/ui#/flow")
    page.get_by_text("live", exact=True).wait_for()
    page.get_by_label("Show IDs").check()
    page.wait_for_timeout(1_000)
    page.evaluate(WATCH)
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for n in range(events):
            body = json.dumps({"user_id": f"event-{n}", "item_id": "i1"})
            sent[str(n)] = time.time() * 1e3
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/events", body, headers)
            connection.getresponse().read()
            time.sleep(0.13 + (n % 10) / 100)  # at different times of the server's tick
    page.wait_for_timeout(1_000)
    seen: dict[str, float] = page.evaluate("() => seen")
    page.close()
    missing = sent.keys() - seen.keys()
    if missing:
        raise SystemExit(f"{len(missing)} of {events} events were never on the screen")
    return [seen[name] - at for name, at in sent.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--port", type=int, default=18_090)
    parser.add_argument("--no-write", action="store_true", help="do not write the results")
    parser.add_argument("--view", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.view:
        number, *how = given.view.split()
        view(given.port, int(number), reads="still" not in how, metrics="metrics" in how)
        return
    command = [sys.executable, "-m", "benchmarks.hot_read", "--users", str(given.users)]
    server = subprocess.Popen([*command, "--serve", "cached", "--port", str(given.port)])
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SITUATIONS}
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "requests.lua"
            script.write_text(REQUESTS)
            wait_for(given.port)
            ask(given.port, given.users, given.seconds, script)
            for _ in range(given.rounds):
                for name in SITUATIONS:
                    before = memory(server)
                    figures = under(name, given.port, given.users, given.seconds, script)
                    found[name].append(figures | {"memory_mib": memory(server) - before})
        with chromium() as browser:
            late = delays(browser, given.port, given.events) if browser else []
            views = first_views(browser, given.port, FIRST_ROUNDS) if browser else {}
    finally:
        server.kill()
        server.wait()
    rows: list[dict[str, Any]] = []
    for name, runs in found.items():
        pairs = zip(runs, found["nobody"], strict=True)
        share = machine.spread([run["per_second"] / none["per_second"] for run, none in pairs])
        spreads = {key: machine.spread([run[key] for run in runs]) for key in runs[0]}
        print(f"{name:>30}: {spreads['per_second']['median']:,.0f} lists/s, share {share}")
        rows.append({"situation": name, "share": share, **spreads})
    settings: dict[str, Any] = {"users": given.users, "seconds": given.seconds}
    if late:
        centiles = statistics.quantiles(late, n=100)
        settings["screen_ms"] = {"median": centiles[49], "p95": centiles[94], "max": max(late)}
        print("until an event is on the screen, ms:", settings["screen_ms"])
    settings["first_view_ms"] = {name: machine.spread(times) for name, times in views.items()}
    for name, spread in settings["first_view_ms"].items():
        print(f"first view of {name}, ms: {spread}")
    if not given.no_write:
        print(machine.write("dashboard", settings, rows))


if __name__ == "__main__":
    main()
