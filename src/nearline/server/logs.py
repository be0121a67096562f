"""Structured logging: one JSON object per line."""

import re
import traceback
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from typing import TextIO

import msgspec

# Maximum number of lines that wait for a slow stream.
MAX_WAITING = 20_000
# Seconds between writes: under load, waking the thread takes longer than writing a line.
PAUSE_SECONDS = 0.05
# Maximum seconds for which `stop` waits for a stream that blocks.
STOP_SECONDS = 2.0


# Keys of the API, and what stands in quotes in messages of errors: IDs, for the most part.
_KEY = re.compile(r"nl_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")


def masked(text: str) -> str:
    """Return a message without what it quotes, which may be the ID of a person."""
    return _QUOTED.sub("'***'", text)


def _described(error: BaseException, *, show_ids: bool) -> str:
    """Return a traceback; without IDs, the messages of its errors are masked, not its code."""
    lines = traceback.format_exception(error)
    if show_ids:
        return "".join(lines)
    # Lines of code are indented; those of errors, with their messages, are not.
    return "".join(line if line.startswith(" ") else masked(line) for line in lines)


class JsonLog:
    """Writes JSON lines to a stream; thread-safe.

    Between `start` and `stop`, a separate thread writes the lines in batches, so that a slow stream
    never blocks the event loop. The number of waiting lines is bounded; further ones are dropped,
    and a line reports their number. Before `start` and after `stop`, lines are written immediately.

    Parameters
    ----------
    stream : TextIO
        Standard error in a server.
    clock : callable
        Returns Unix time in seconds.
    max_waiting : int
        Maximum number of lines that wait.

    Attributes
    ----------
    show_ids : bool
        Whether errors show what their messages quote, such as IDs; masked otherwise.
    """

    def __init__(
        self, stream: TextIO, clock: Callable[[], float], *, max_waiting: int = MAX_WAITING
    ):
        self.show_ids = False
        self._stream = stream
        self._clock = clock
        self._max_waiting = max_waiting
        self._waiting: deque[str] = deque()
        # Only `add` changes the first and only `flush` the second.
        self._dropped = self._reported = 0
        self._writing = Lock()
        self._wake, self._stopping = Event(), Event()
        self._thread: Thread | None = None
        self._woken = False  # cheaper to read than `_wake`
        # A millisecond's begin and end, and how it is formatted; one tuple, for other threads.
        self._latest = (0.0, 0.0, "")

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one line: time (RFC 3339), level, message, then `fields`."""
        self.add(self._line(level, message, **fields))

    def _line(self, level: str, message: str, **fields: object) -> str:
        line = {"ts": self.timestamp(), "level": level, "message": message, **fields}
        text = msgspec.json.encode(line).decode()
        if "nl_" in text:  # no line may hold a key
            text = _KEY.sub(r"nl_\1_***", text)
        return text + "\n"

    def failure(self, message: str, error: BaseException, **fields: object) -> None:
        """Write one line about `error`, with its traceback."""
        described = _described(error, show_ids=self.show_ids)
        shown = message if self.show_ids else masked(message)
        self.write("error", shown, traceback=described, **fields)

    def add(self, line: str) -> None:
        """Write an encoded line with the fields of `write`; it ends with a newline."""
        if len(self._waiting) >= self._max_waiting:
            self._dropped += 1
            return
        self._waiting.append(line)
        if self._thread is None:
            self.flush()
        elif not self._woken:
            self._woken = True
            self._wake.set()

    def timestamp(self) -> str:
        """Return the time of a line (RFC 3339, milliseconds)."""
        now = self._clock()
        begin, end, formatted = self._latest
        if not begin <= now < end:
            formatted = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
            millisecond = int(now * 1_000)
            self._latest = millisecond / 1_000, (millisecond + 1) / 1_000, formatted
        return formatted

    def start(self) -> None:
        """Start the thread that writes lines."""
        self._stopping.clear()
        self._thread = Thread(target=self._run, name="nearline-log-lines", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write all waiting lines, unless the stream blocks, and end the thread; idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._wake.set()
            thread.join(STOP_SECONDS)

    def flush(self) -> None:
        """Write all waiting lines in the calling thread, unless the stream blocks."""
        if self._writing.acquire(timeout=STOP_SECONDS):
            try:
                self._write_waiting()
            finally:
                self._writing.release()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            self._woken = False
            self.flush()
            self._stopping.wait(PAUSE_SECONDS)
        self.flush()

    def _write_waiting(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        count, dropped = len(lines), self._dropped - self._reported
        if dropped:
            lines.append(self._line("warning", "log lines were dropped", lines=dropped))
        if not lines:
            return
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):  # no space left, or the stream is closed
            self._reported -= count  # counts as dropped
        else:
            self._reported += dropped
