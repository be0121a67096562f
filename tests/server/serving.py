"""Starting and stopping of real servers in separate processes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.forking import Forked

from nearline.engine import Recommender
from nearline.server import serve
from nearline.testing.servers.ports import free_port

START_SECONDS = 180.0  # the first start on a machine compiles the kernels


@dataclass
class LiveServer:
    """A server process and how to reach it."""

    process: Forked
    port: int
    store: Path
    output: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def wait_until_ready(get: Callable[[str], httpx.Response]) -> None:
    """Poll /readyz until it returns 200."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
        time.sleep(0.005)
    raise TimeoutError("the server did not become ready")


def start_server(folder: Path, api_key: str = "") -> LiveServer:
    """Start a server on a free port with a store in `folder`; ready when this returns."""
    port, output = free_port(), folder / "output.txt"
    process = Forked(output, _serve, folder / "store", port, api_key)
    live = LiveServer(process, port, folder / "store", output)
    try:
        with httpx.Client(base_url=live.url, timeout=120.0) as http:
            wait_until_ready(http.get)
    except BaseException:
        process.kill()
        process.wait()
        print(output.read_text())
        raise
    return live


def _serve(store: Path, port: int, api_key: str) -> None:
    serve(lambda: Recommender(store), port=port, api_key=api_key or None)


def stop_server(live: LiveServer) -> int:
    """Send SIGTERM and return the exit code."""
    live.process.terminate()
    return live.process.wait(timeout=START_SECONDS)
