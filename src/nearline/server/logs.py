"""Log lines as JSON, one object a line."""

import asyncio
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import msgspec


class JsonLog:
    """Writes JSON lines to a stream; thread-safe as far as the stream's `write` is.

    Lines of an event loop's thread go out together, at the end of the loop's turn.

    Parameters
    ----------
    stream : TextIO
        Where lines go; standard error in a server.
    clock : callable
        Gives Unix seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]):
        self._stream = stream
        self._clock = clock
        self._lines: list[str] = []

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one line: time (RFC 3339), level, message, then `fields`."""
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        line = {"ts": moment, "level": level, "message": message, **fields}
        encoded = msgspec.json.encode(line).decode() + "\n"
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._put(encoded)
            return
        if not self._lines:
            loop.call_soon(self._put_lines)
        self._lines.append(encoded)

    def failure(self, message: str, error: BaseException, **fields: object) -> None:
        """Write one line about `error`, its traceback included."""
        self.write("error", message, traceback="".join(traceback.format_exception(error)), **fields)

    def _put_lines(self) -> None:
        lines, self._lines = self._lines, []
        self._put("".join(lines))

    def _put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
