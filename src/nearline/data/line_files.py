"""Files with one JSON object a line, as a source of messages."""

import glob
import gzip
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from time import sleep
from typing import IO

from nearline.errors import DataNotFound, InvalidInput, SourceFailed
from nearline.schema.sources import MAX_MESSAGE_BYTES, MAX_PARTITIONS, Message

# Bytes at the start of a file by which it is recognised.
HEAD_BYTES = 1_024
POLL_SECONDS = 0.2


class LineFiles:
    """Source of the lines of one file, or of all files that a pattern matches.

    Each file is a partition, named by its file name; positions are bytes. Files may grow, and new
    ones may appear. Files ending in ``.gz`` are uncompressed, and positions count that text.

    Parameters
    ----------
    pattern : str
        Path of a file, or a pattern such as ``logs/*.ndjson``.
    name : str or None
        Name of the source; None for ``file:`` and the pattern.
    follow : bool
        Whether a last line without a line break may still be incomplete.

    Raises
    ------
    DataNotFound
        There is no such file.
    """

    endless = False
    unit = "bytes"

    def __init__(self, pattern: str, *, name: str | None = None, follow: bool = False) -> None:
        self.pattern, self.follow = pattern, follow
        self.name = name if name is not None else f"file:{Path(pattern).name}"
        self._paths: dict[str, Path] = {}
        self._positions: dict[str, int] = {}
        self._identity: dict[str, str] = {}
        self._files: dict[str, IO[bytes]] = {}
        self._find()
        if not self._paths:
            raise DataNotFound(f"there is no file {pattern}; name a file or a pattern of files")

    def open(self, positions: Mapping[str, int], identity: Mapping[str, str]) -> None:
        """Begin at positions; raise `SourceFailed` if a file was replaced or shortened."""
        self._positions = dict(positions)
        for name in self._paths:
            found = identity.get(name)
            if found is not None and positions.get(name) and not self._is_same(name, found):
                raise SourceFailed(
                    f"the file {self._paths[name]} is another one than the file of this name that "
                    "was read before; give the source another name"
                )

    @property
    def identity(self) -> Mapping[str, str]:
        """Length and hash of the start of each file."""
        return self._identity

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        """Return up to `limit` lines, in the order of files."""
        messages: list[Message] = []
        for name in sorted(self._paths):
            messages += self._lines(name, limit - len(messages))
            if len(messages) >= limit:
                return messages
        if not messages:
            known = len(self._paths)
            self._find()
            if len(self._paths) == known and self.follow:
                sleep(min(seconds, POLL_SECONDS))
        return messages

    @property
    def caught_up(self) -> bool:
        """Whether the end of all files was reached."""
        return not any(self.lag().values())

    def lag(self) -> dict[str, int]:
        """Return the bytes of each file that were not read; of a compressed file, 0 or 1."""
        left = {}
        for name, path in self._paths.items():
            read = self._positions.get(name, 0)
            if path.suffix == ".gz":
                left[name] = int(self._files.get(name) is None or bool(self._peek(name)))
            else:
                left[name] = max(0, path.stat().st_size - read)
        return left

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def _find(self) -> None:
        found = sorted(glob.glob(self.pattern)) or [self.pattern]  # noqa: PTH207 (any pattern)
        paths = {Path(path).name: Path(path) for path in found if Path(path).is_file()}
        if len(paths) > MAX_PARTITIONS:
            raise InvalidInput(
                f"{self.pattern} matches {len(paths):,} files; at most {MAX_PARTITIONS:,} can be "
                "one source: use a narrower pattern",
                field="source",
            )
        self._paths |= paths

    def _lines(self, name: str, limit: int) -> list[Message]:
        try:
            file = self._open(name)
        except OSError as error:
            raise SourceFailed(f"{self._paths[name]} cannot be read: {error}") from error
        messages: list[Message] = []
        at = self._positions.get(name, 0)
        while len(messages) < limit:
            line = file.readline(MAX_MESSAGE_BYTES + 1)
            if not line or (
                self.follow and not line.endswith(b"\n") and len(line) <= MAX_MESSAGE_BYTES
            ):
                file.seek(at)
                break
            start, at = at, at + len(line)
            rest = line
            while len(rest) > MAX_MESSAGE_BYTES and not rest.endswith(b"\n"):
                rest = file.readline(MAX_MESSAGE_BYTES + 1)
                at += len(rest)
            if line.strip():
                messages.append(Message(name, start, at, line.rstrip(b"\r\n")))
        self._positions[name] = at
        return messages

    def _open(self, name: str) -> IO[bytes]:
        file = self._files.get(name)
        if file is None:
            path, at = self._paths[name], self._positions.get(name, 0)
            if path.suffix != ".gz" and path.stat().st_size < at:
                raise SourceFailed(
                    f"{path} has fewer than the {at:,} bytes that were read before; if it was "
                    "replaced, give the source another name"
                )
            file = self._files[name] = _opened(path)
            file.seek(at)
            self._identity[name] = _head(path, HEAD_BYTES)
        elif self._positions.get(name, 0) < HEAD_BYTES:
            self._identity[name] = _head(self._paths[name], HEAD_BYTES)
        return file

    def _peek(self, name: str) -> bytes:
        file = self._files[name]
        at = file.tell()
        byte = file.read(1)
        file.seek(at)
        return byte

    def _is_same(self, name: str, identity: str) -> bool:
        size = identity.partition(":")[0]
        return size.isdecimal() and _head(self._paths[name], int(size)) == identity


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _head(path: Path, size: int) -> str:
    """Return the length and hash of the first bytes of a file."""
    with _opened(path) as file:
        head = file.read(min(size, HEAD_BYTES))
    return f"{len(head)}:{blake2b(head, digest_size=16).hexdigest()}"
