"""A forked process refuses writes, and leaves the store to the process that opened it."""

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import nearline as nl

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork"),
]

# Seconds after which a forked process is killed.
SECONDS = 120.0

CHANGES: dict[str, Callable[[nl.Recommender], object]] = {
    "observe": lambda engine: engine.observe("u", "i"),
    "put_item": lambda engine: engine.put_item("i", text="tea"),
    "patch_item": lambda engine: engine.patch_item("i1", {"text": "tea"}),
    "delete_item": lambda engine: engine.delete_item("i1").result(),
    "forget": lambda engine: engine.forget("u1").result(),
    "delete_event": lambda engine: engine.delete_event("e").result(),
    "add": lambda engine: engine.add(pd.DataFrame({"user_id": ["u"], "item_id": ["i"]})),
    "fit": lambda engine: engine.fit(),
    "train": lambda engine: engine.train(),
    "checkpoint": lambda engine: engine.checkpoint(),
}


def in_fork(call: Callable[[], object]) -> str:
    """Call a function in a forked process; return its result or error as a text.

    A process that does not end is killed from here: an alarm of its own would not help if it waits
    for a lock in the handlers that run right after the fork.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(SECONDS - 5)
        try:
            found = f"returned {call()!r}"
        except BaseException as error:
            found = f"{type(error).__name__}: {error}"
        os.write(writing, found.encode()[:10_000])
        os._exit(0)
    os.close(writing)
    os.set_blocking(reading, False)  # other processes may have inherited the other end
    status = ended(child)
    with os.fdopen(reading, "rb") as pipe:
        return f"ended with {status}" if status else (pipe.read() or b"").decode()


def ended(child: int) -> int:
    """Wait for a process and return its status; kill it after a while."""
    deadline = time.monotonic() + SECONDS
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with nl.Recommender(tmp_path / "store") as engine:
        engine.observe("u1", "i1", event_id="e")
        engine.observe("u2", "i2")
        engine.put_item("i1", text="tea")
    return tmp_path / "store"


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_after_a_fork_is_refused(store: Path, name: str) -> None:
    with nl.Recommender(store) as engine:
        offset = engine.offset
        found = in_fork(lambda: CHANGES[name](engine))
        assert found.startswith("Closed: "), found
        assert "forked" in found
        assert f"process {os.getpid()}" in found
        engine.observe("u3", "i1")  # the process that opened the store can write
        assert engine.offset == offset + 1


def test_closing_in_a_fork_changes_nothing(store: Path) -> None:
    with nl.Recommender(store) as engine:
        assert in_fork(engine.close) == "returned None"
        assert in_fork(lambda: nl.Recommender(store)).startswith("StoreInUse")
        engine.observe("u1", "i2")
    with nl.Recommender(store) as engine:
        assert [past.item_id for past in engine.user("u1").history] == ["i2", "i1"]


def test_a_fork_can_read_what_is_in_memory(store: Path) -> None:
    with nl.Recommender(store) as engine:
        assert in_fork(lambda: [line.item_id for line in engine.recommend("u1")]) == (
            "returned ['i2']"
        )
