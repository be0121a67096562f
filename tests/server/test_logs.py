"""Log lines: one JSON object each, complete and in order; a slow stream blocks nothing."""

import io
import json
import threading
from typing import Any

from nearline.server.logs import JsonLog


class Stream(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


class BlockedStream(Stream):
    """Blocks each write until `may_write` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.may_write = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.blocks.set()
        assert self.may_write.wait(120)
        return super().write(text)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def messages(stream: io.StringIO) -> list[str]:
    return [line["message"] for line in lines(stream)]


def test_line_is_one_object() -> None:
    stream = io.StringIO()
    JsonLog(stream, lambda: 1_700_000_000.25).write("info", "request", status=200, path="a\nb")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "ts": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "message": "request",
        "status": 200,
        "path": "a\nb",
    }


def test_timestamp_follows_the_clock_forwards_and_backwards() -> None:
    times = iter([5.0, 5.0004, 5.001, 4.9996, 1e9 + 0.0625])
    log = JsonLog(io.StringIO(), lambda: next(times))
    assert [log.timestamp()[17:23] for _ in range(4)] == ["05.000", "05.000", "05.001", "04.999"]
    assert log.timestamp() == "2001-09-09T01:46:40.062+00:00"


def test_lines_are_written_at_once_unless_the_thread_runs() -> None:
    stream = Stream()
    log = JsonLog(stream, lambda: 0.0)
    log.write("info", "before")
    assert messages(stream) == ["before"]
    log.start()
    for n in range(100):
        log.write("info", str(n))
    log.stop()
    log.write("info", "after")
    assert messages(stream) == ["before", *map(str, range(100)), "after"]


def test_flush_writes_all_waiting_lines() -> None:
    stream = Stream()
    log = JsonLog(stream, lambda: 0.0)
    log.start()
    for n in range(10):
        log.write("info", str(n))
        log.flush()
        assert messages(stream) == [str(k) for k in range(n + 1)]
    log.stop()
    log.stop()


def test_threads_lose_no_line() -> None:
    stream = Stream()
    log = JsonLog(stream, lambda: 0.0)
    log.start()

    def write(name: str) -> None:
        for n in range(500):
            log.write("info", f"{name}{n}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.stop()
    for name in "abc":
        own = [message for message in messages(stream) if message.startswith(name)]
        assert own == [f"{name}{n}" for n in range(500)]


def test_blocked_stream_blocks_no_caller_and_dropped_lines_are_reported() -> None:
    stream = BlockedStream()
    log = JsonLog(stream, lambda: 0.0, max_waiting=3)
    log.start()
    log.write("info", "first")
    assert stream.blocks.wait(120)
    for n in range(10):
        log.write("info", str(n))  # returns although the stream blocks
    stream.may_write.set()
    log.stop()
    assert messages(stream) == ["first", "0", "1", "2", "log lines were dropped"]
    assert lines(stream)[-1]["lines"] == 7
    assert lines(stream)[-1]["level"] == "warning"
    log.write("info", "last")
    assert messages(stream)[-1] == "last"


class FullDisk(Stream):
    """Fails the first write."""

    def write(self, text: str) -> int:
        if not self.writes:
            self.writes.append("")
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_lines_that_cannot_be_written_are_counted_as_dropped() -> None:
    stream = FullDisk()
    log = JsonLog(stream, lambda: 0.0)
    log.write("info", "lost")
    log.write("info", "next")
    assert messages(stream) == ["next", "log lines were dropped"]
    assert lines(stream)[-1]["lines"] == 1
