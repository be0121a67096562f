"""Everything that a server writes to standard error is JSON, one object per line."""

import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.cli.running import WAIT
from tests.forking import ForkedCommand

from nearline import Recommender
from nearline.server.log_handlers import everything_as_json
from nearline.server.logs import JsonLog
from nearline.testing.servers.ports import free_port

PROGRAM = """
import sys
from nearline.engine import Recommender
from nearline.server import serve
serve(lambda: Recommender(sys.argv[1]), port=int(sys.argv[2]), announce=announce)
"""
NOISY = """
import logging, threading, warnings
from nearline.server import run
def announce(line):
    warnings.warn("a warning of a library")
    logging.getLogger("some.library").error("bad %s", "news")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    print(line, flush=True)
"""


ABANDONED = """
import logging, os, signal, sys, threading
from nearline import Recommender
from nearline.server import run
returned, logged = threading.Event(), threading.Event()
def open_engine():
    returned.wait()
    logging.getLogger("nearline").warning("still opening")
    logged.set()
    return Recommender(sys.argv[1])
def announce(line):
    os.kill(os.getpid(), signal.SIGTERM)
assert not run.serve(open_engine, port=int(sys.argv[2]), announce=announce)
returned.set()
logged.wait()
os._exit(0)
"""


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_records_warnings_and_errors_of_threads_become_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = io.StringIO()
    restore = everything_as_json(JsonLog(stream, lambda: 0.0))
    logging.getLogger("library").warning("careful: %s", "x")
    logging.getLogger("library").info("not shown")
    try:
        json.loads("{}")["k"]
    except KeyError:
        logging.getLogger("library").exception("failed")
    logging.getLogger("library").error("%d", "no number")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("old", DeprecationWarning, "file.py", 3)
    thread = threading.Thread(target=lambda: [][0])
    thread.start()
    thread.join()
    restore()
    first, second, third, fourth, fifth = lines_of(stream.getvalue())
    assert (first["level"], first["message"], first["logger"]) == (
        "warning",
        "careful: x",
        "library",
    )
    assert "KeyError: '***'" in second["traceback"]
    assert third["message"] == "%d"
    assert (fourth["category"], fourth["place"]) == ("DeprecationWarning", "file.py:3")
    assert "IndexError" in fifth["traceback"]
    assert threading.excepthook is not None
    assert logging.getLogger().handlers == []


def test_a_server_writes_only_json(tmp_path: Path) -> None:
    """Also about a damaged checkpoint, and what libraries report."""
    store = tmp_path / "store"
    with Recommender(store) as engine:
        engine.observe("u", "i")
    (store / "state.checkpoint").write_bytes(b"damaged")
    with subprocess.Popen(
        [sys.executable, "-c", NOISY + PROGRAM, str(store), str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Listening")
        process.terminate()
        _, errors = process.communicate(timeout=WAIT)
    messages = [line["message"] for line in lines_of(errors)]
    assert "a warning of a library" in messages
    assert "bad news" in messages
    assert "a thread failed" in messages


def test_a_checkpoint_that_is_ignored_is_reported_as_json(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Recommender(store) as engine:
        engine.observe("u", "i")
    (store / "state.checkpoint").write_bytes(b"damaged")
    with ForkedCommand("serve", "--store", store, "--port", str(free_port())) as process:
        lines: list[dict[str, Any]] = []
        while not lines or lines[-1]["message"] != "store open":
            lines += lines_of(process.stderr.readline())
        process.terminate()
        _, rest = process.communicate(timeout=WAIT)
    lines += lines_of(rest)
    assert any("the checkpoint is ignored" in line["message"] for line in lines)


def test_an_opening_that_outlives_the_server_is_reported_as_json(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ABANDONED, str(tmp_path / "store"), str(free_port())]
    result = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert result.returncode == 0, result.stderr
    assert "still opening" in [line["message"] for line in lines_of(result.stderr)]


@pytest.mark.parametrize("arguments", [("--host", "0.0.0.0"), ("--host", "no.such.name")])
def test_an_error_at_the_start_is_json(tmp_path: Path, arguments: tuple[str, str]) -> None:
    with ForkedCommand("serve", "--store", tmp_path / "store", *arguments) as process:
        _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 1
    (line,) = lines_of(errors)
    assert line["level"] == "error"
    assert arguments[1] in line["reason"]
