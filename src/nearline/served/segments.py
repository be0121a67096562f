"""Files of the served log: append-only segments, in a folder of the store.

The name of a segment begins with the time of its first entry in milliseconds. Each is complete in
itself: `ServedAgain` refers to a list of the same file.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from secrets import token_hex

import msgspec

from nearline.common.files import sync_path
from nearline.schema import DAY
from nearline.sealing import Seal
from nearline.served.rows import (
    ItemsSeen,
    Served,
    ServedAgain,
    decode_entries,
    encode_entry,
    timed,
)

FOLDER = "served"
SUFFIX = ".served"
# Size and age in seconds from which a segment is not continued.
MAX_SEGMENT_BYTES, MAX_SEGMENT_SECONDS = 8 * 1024**2, DAY
# Bytes of all segments; the oldest are removed beyond it.
MAX_BYTES = 4 * 1024**3


class SegmentWriter:
    """Appends entries to the newest segment of a folder.

    Parameters
    ----------
    folder : Path
        Created with the first entry.
    days : float
        Days after which segments are removed.
    seal : Seal or None
        Seal of the entries.
    """

    def __init__(self, folder: Path, days: float, seal: Seal | None = None) -> None:
        self._folder, self._days, self._seal = folder, days, seal
        self._file: int | None = None
        self._size, self._start = 0, 0.0
        self._known: set[str] = set()

    def write(
        self, entries: Sequence[Served | ItemsSeen], times: Sequence[float], now: float
    ) -> None:
        """Append entries with their times, and wait until they are on the disk.

        A list that this segment has already is written as `ServedAgain`.
        """
        if self._file is not None and (
            self._size >= MAX_SEGMENT_BYTES or not 0 <= now - self._start < MAX_SEGMENT_SECONDS
        ):
            self.close()
        if self._file is None:
            self._open(now)
        lines, again = list[bytes](), dict[str, list[float]]()
        known = self._known
        for entry, time in zip(entries, times, strict=True):
            if isinstance(entry, Served):
                name = entry.recommendation_id
                further = again.get(name)
                if further is not None:  # nearly always, if few lists are served often
                    further.append(time)
                    continue
                if name in known:
                    again[name] = [time]
                    continue
                known.add(name)
            lines.append(encode_entry(timed(entry, time), self._seal))
        for name, repeated in again.items():
            line = ServedAgain(recommendation_id=name, times=tuple(repeated))
            lines.append(encode_entry(line, self._seal))
        data = b"".join(lines)
        file = self._file
        if file is None:
            raise RuntimeError("the segment is closed")
        written = 0
        while written < len(data):
            written += os.write(file, data[written:])
        os.fsync(file)
        self._size += len(data)

    def close(self) -> None:
        """End the segment; the next entry begins another. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._known, self._size = set(), 0

    def _open(self, now: float) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_old(self._folder, now - self._days * DAY)
        path = self._folder / f"{int(now * 1000):014d}-{token_hex(4)}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._start = now
        sync_path(self._folder)


def segments_of(folder: Path) -> list[Path]:
    """Return the segments of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def read_segments(
    folder: Path, since: float = 0.0, seal: Seal | None = None
) -> Iterator[Served | ItemsSeen]:
    """Yield the lists that were served from a time on (Unix seconds), and what was seen of them.

    A list that was served several times is yielded for each time.
    """
    for path in segments_of(folder):
        if _begin_of(path) + MAX_SEGMENT_SECONDS < since:
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # removed meanwhile, because it is too old
        yield from entries_since(data, since, seal)


def entries_of(
    folder: Path, user_id: str, seal: Seal | None = None
) -> Iterator[Served | ItemsSeen]:
    """Yield the entries of a user. Only segments in which the ID occurs, or sealed, are decoded."""
    named = msgspec.json.encode(user_id)
    for path in segments_of(folder):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # removed meanwhile, because it is too old
        if named in data or seal is not None:
            found = entries_since(data, 0.0, seal)
            yield from (entry for entry in found if entry.user_id == user_id)


def entries_since(
    data: bytes, since: float, seal: Seal | None = None
) -> Iterator[Served | ItemsSeen]:
    """Yield the entries of one segment from a time on."""
    return _entries_since(data, since, seal, {})


def _entries_since(
    data: bytes, since: float, seal: Seal | None, lists: dict[str, Served]
) -> Iterator[Served | ItemsSeen]:
    """Yield entries from a time on; `lists` are those of the segment before, and are added to."""
    for entry, _ in decode_entries(data, seal):
        if isinstance(entry, ServedAgain):
            first = lists.get(entry.recommendation_id)
            if first is not None:
                for time in entry.times:
                    if time >= since:
                        yield msgspec.structs.replace(first, timestamp=time)
            continue
        if isinstance(entry, Served):
            lists[entry.recommendation_id] = entry
        if entry.timestamp >= since:
            yield entry


class SegmentReader:
    """Reads the entries of the segments of a folder that were added since the last time.

    After an erasure, which replaces segments, a new reader is needed.

    Parameters
    ----------
    folder : Path
    since : float
        Time in Unix seconds from which on entries are read.
    seal : Seal or None
        Seal of the entries.
    """

    def __init__(self, folder: Path, since: float, seal: Seal | None = None) -> None:
        self._folder, self._since, self._seal = folder, since, seal
        # Bytes read of each segment, and the lists of the one that grew last.
        self._read: dict[str, int] = {}
        self._grown: tuple[str, dict[str, Served]] = ("", {})

    def news(self) -> Iterator[Served | ItemsSeen]:
        """Yield the entries since the last call, oldest segment first."""
        for path in segments_of(self._folder):
            if _begin_of(path) + MAX_SEGMENT_SECONDS < self._since:
                continue
            done = self._read.get(path.name, 0)
            try:
                if path.stat().st_size == done:
                    continue
                known = path.name == self._grown[0]
                with path.open("rb") as file:
                    file.seek(done if known else 0)
                    data = file.read()
            except FileNotFoundError:
                continue  # removed meanwhile, because it is too old
            # A line that is just being written is read the next time.
            data = data[: data.rfind(b"\n") + 1]
            lists = self._grown[1] if known else {}
            if not known and done:  # its lists, to which the rest may refer
                for _ in _entries_since(data[:done], self._since, self._seal, lists):
                    pass
                data = data[done:]
            self._grown, self._read[path.name] = (path.name, lists), done + len(data)
            yield from _entries_since(data, self._since, self._seal, lists)


def erase_from(folder: Path, user_id: str, seal: Seal | None = None) -> int:
    """Remove all entries of a user from all segments; return their number.

    A segment is replaced atomically by one without them. No segment may be open for writing.
    """
    named = msgspec.json.encode(user_id)
    erased = 0
    for path in segments_of(folder):
        data = path.read_bytes()
        if named not in data and seal is None:
            continue
        gone, kept, count = set[str](), list[bytes](), 0
        for entry, line in decode_entries(data, seal):
            if isinstance(entry, ServedAgain):
                drop = entry.recommendation_id in gone
            else:
                drop = entry.user_id == user_id
                if drop and isinstance(entry, Served):
                    gone.add(entry.recommendation_id)
            if drop:
                count += 1
            else:
                kept.append(line)
        if not count:
            continue
        erased += count
        if kept:
            _replace(path, b"".join(kept))
        else:
            path.unlink()
    if erased:
        sync_path(folder)
    return erased


def seal_segments(folder: Path, seal: Seal) -> None:
    """Seal the entries of all segments that are not sealed yet, and overwrite the plain ones."""
    for path in segments_of(folder):
        data = path.read_bytes()
        if b' {"' not in data:
            continue
        lines = [
            encode_entry(entry, seal) if b" {" in line else line
            for entry, line in decode_entries(data, seal)
        ]
        with path.open("r+b") as plain:
            _replace(path, b"".join(lines))
            plain.write(bytes(len(data)))
            plain.flush()
            os.fsync(plain.fileno())
    if folder.is_dir():
        sync_path(folder)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically."""
    partial = path.with_name(f".{path.name}.tmp")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def remove_old(folder: Path, before: float) -> None:
    """Remove segments that ended before a time (Unix seconds), and the oldest beyond the limit."""
    for partial in folder.glob(f".*{SUFFIX}.tmp"):  # of an erasure that was interrupted
        partial.unlink(missing_ok=True)
    total = 0
    for path in reversed(segments_of(folder)):
        total += path.stat().st_size
        if total > MAX_BYTES or _begin_of(path) + MAX_SEGMENT_SECONDS < before:
            path.unlink(missing_ok=True)


def _begin_of(path: Path) -> float:
    number = path.name.partition("-")[0]
    return int(number) / 1000 if number.isdigit() else 0.0
