"""Starting and stopping of real servers in separate processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from nearline.testing.servers.ports import free_port

PROGRAM = """
import sys
from nearline.engine import Recommender
from nearline.server import serve
serve(lambda: Recommender(sys.argv[1]), port=int(sys.argv[2]), api_key=sys.argv[3] or None)
"""
START_SECONDS = 180.0  # the first start on a machine compiles the kernels


@dataclass
class LiveServer:
    """A server process and how to reach it."""

    process: subprocess.Popen[bytes]
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
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder / "store"), str(port), api_key],
            stdout=sink,
            stderr=sink,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
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


def stop_server(live: LiveServer) -> int:
    """Send SIGTERM and return the exit code."""
    live.process.terminate()
    return live.process.wait(timeout=START_SECONDS)
