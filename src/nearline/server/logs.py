"""Log lines as JSON, one object a line."""

import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

import msgspec


class JsonLog:
    """Writes JSON lines to a stream; thread-safe as far as the stream's `write` is.

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

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one line: time (RFC 3339), level, message, then `fields`."""
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        line = {"ts": moment, "level": level, "message": message, **fields}
        self._stream.write(msgspec.json.encode(line).decode() + "\n")
        self._stream.flush()

    def failure(self, message: str, error: BaseException, **fields: object) -> None:
        """Write one line about `error`, its traceback included."""
        self.write("error", message, traceback="".join(traceback.format_exception(error)), **fields)
