"""Sorted runs: immutable files of index entries for a range of the log's offsets.

A run has two lists of entries, each sorted by key: the offset of each record under the hash of its
user ID, and the offset of each event under the hash of its event ID, with a filter that excludes
most hashes that are not there. An entry takes 12 bytes for a user and 24 for an event ID.

Files appear atomically, and are complete and on disk before the log refers to them. Only an erasure
changes a file: the entry gets the offset `GONE` and, once all entries with its key have it, the key
of a neighbour, so that the order remains and no trace of the key is left.
"""

import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.common.files import PIECE_BYTES, sync_path
from nearline.kernels.key_filter import GONE, UNKNOWN, add_to_filter, filter_words

MAGIC = b"nearline run 1\n\0"
# Magic, first and last offset, numbers of users, IDs and words, checksum.
HEAD_BYTES = 64
# Entries of the largest source that are merged at a time; limits memory.
MERGED_AT_ONCE = 500_000

Array = NDArray[Any]


class Buried(NamedTuple):
    """Keys of a record to erase."""

    offset: int
    user_key: int
    event_key: bytes | None


class SortedRun(NamedTuple):
    """One run, in memory or mapped from a file.

    Attributes
    ----------
    path : Path or None
        File; None in memory.
    first, last : int
        The run has the entries of the records from `first` to ``last - 1``.
    users, user_offsets : int64 [n], uint32 [n]
        Sorted hashes of user IDs, and offsets relative to `first`.
    high, low, id_offsets : uint64 [m], uint64 [m], uint32 [m]
        Halves of the hashes of event IDs, sorted by the upper half, and offsets.
    words : uint64 [w]
        Filter of the event IDs.
    """

    path: Path | None
    first: int
    last: int
    users: Array
    high: Array
    low: Array
    words: Array
    user_offsets: Array
    id_offsets: Array

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self.users) + len(self.high)

    def of_user(self, key: int) -> list[int]:
        """Return the offsets of a user's records, ascending."""
        begin, end = self._entries_of(key)
        found = self.user_offsets[begin:end]
        offsets: list[int] = (found[found != GONE].astype(np.int64) + self.first).tolist()
        return offsets

    def erase(self, records: Sequence[Buried]) -> None:
        """Erase the entries of some records of this run."""
        places: dict[int, list[int]] = defaultdict(list)
        for record in records:
            places[record.user_key].append(record.offset - self.first)
        for user_key, of_user in places.items():
            begin, end = self._entries_of(user_key)
            offsets = self.user_offsets[begin:end]
            offsets[np.isin(offsets, of_user)] = GONE
            _forget(begin, end, self.user_offsets, self.users)
        for record in records:
            if record.event_key is not None:
                self._erase_id(record.offset - self.first, record.event_key)

    def _entries_of(self, user_key: int) -> tuple[int, int]:
        """Return where the entries of a user begin and end."""
        begin = np.searchsorted(self.users, user_key)
        return int(begin), int(np.searchsorted(self.users, user_key, side="right"))

    def _erase_id(self, place: int, key: bytes) -> None:
        high, low = np.uint64(int.from_bytes(key[:8])), int.from_bytes(key[8:])
        begin = int(np.searchsorted(self.high, high))
        end = int(np.searchsorted(self.high, high, side="right"))
        for at in range(begin, end):
            if self.low[at] == low and self.id_offsets[at] in (place, UNKNOWN):
                self.id_offsets[at] = GONE
                break
        _forget(begin, end, self.id_offsets, self.high, self.low)

    def sync(self) -> None:
        """Write erasures to disk."""
        if self.path is not None and self.path.exists():
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())


def _forget(begin: int, end: int, offsets: Array, *keys: Array) -> None:
    """Replace equal keys by that of a neighbour, which keeps the order, if all entries are gone."""
    if (offsets[begin:end] != GONE).any():
        return
    for each in keys:
        if begin:
            each[begin:end] = each[begin - 1]
        else:
            each[:end] = each[end] if end < len(each) else 0


def new_run(path: Path | None, first: int, last: int, n_users: int, n_ids: int) -> SortedRun:
    """Create a run whose arrays are to be filled, in memory or in a file of another name.

    Call `seal` to give a file its name.
    """
    words = filter_words(n_ids)
    shapes = _shapes(n_users, n_ids, words)
    if path is None:
        return SortedRun(None, first, last, *(np.zeros(n, dtype) for n, dtype in shapes))
    size = HEAD_BYTES + sum(n * np.dtype(dtype).itemsize for n, dtype in shapes)
    partial = _partial(path)
    with partial.open("wb") as file:
        file.truncate(size)
    numbers = np.array([first, last, n_users, n_ids, words], dtype="<i8").tobytes()
    head = MAGIC + numbers
    data = np.memmap(partial, dtype=np.uint8, mode="r+")
    data[: len(head) + 4] = np.frombuffer(head + zlib.crc32(head).to_bytes(4, "little"), np.uint8)
    return _views(path, data, first, last, shapes)


def seal(run: SortedRun) -> SortedRun:
    """Write a new run to disk under its name; an existing file is replaced."""
    if run.path is None:
        return run
    partial = _partial(run.path)
    base: Any = run.users.base if run.users.base is not None else run.words.base
    while base is not None and not isinstance(base, mmap):
        base = base.base
    if base is not None:
        # In pieces, as in `write_in_pieces`.
        for start in range(0, len(base), PIECE_BYTES):
            base.flush(start, min(PIECE_BYTES, len(base) - start))
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.rename(run.path)
    sync_path(run.path.parent)
    return run


def open_run(path: Path, first: int, last: int) -> SortedRun | None:
    """Map a run from its file; None if it is missing, damaged or of another range."""
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r+")
    except (OSError, ValueError):
        return None
    head = data[:HEAD_BYTES].tobytes()
    at = len(MAGIC) + 5 * 8
    if len(head) < HEAD_BYTES or head[: len(MAGIC)] != MAGIC:
        return None
    if zlib.crc32(head[:at]) != int.from_bytes(head[at : at + 4], "little"):
        return None
    *span, users, ids, words = np.frombuffer(head[len(MAGIC) : at], dtype="<i8").tolist()
    shapes = _shapes(users, ids, words)
    size = HEAD_BYTES + sum(n * np.dtype(dtype).itemsize for n, dtype in shapes)
    if span != [first, last] or len(data) != size:
        return None
    return _views(path, data, first, last, shapes)


def fill(
    run: SortedRun, users: Array, user_offsets: Array, keys: Array, id_offsets: Array
) -> SortedRun:
    """Fill a new run from entries in any order.

    Parameters
    ----------
    users, user_offsets : int64 [n], uint32 [n]
        Hashes of user IDs, in the order of relative offsets.
    keys, id_offsets : uint8 [m, 16], uint32 [m]
        Hashes of event IDs.
    """
    order = np.argsort(users, kind="stable")
    run.users[:], run.user_offsets[:] = users[order], user_offsets[order]
    halves = np.ascontiguousarray(keys).view(">u8").astype(np.uint64).reshape(-1, 2)
    order = np.argsort(halves[:, 0], kind="stable")
    run.high[:], run.low[:] = halves[order, 0], halves[order, 1]
    run.id_offsets[:] = id_offsets[order]
    add_to_filter(run.words, run.high, run.low)
    return seal(run)


def merged(runs: Sequence[SortedRun], path: Path | None) -> Iterator[SortedRun | None]:
    """Merge adjacent runs into a new one; yield None between steps, and then the run, not sealed.

    Erased entries are left out. A step takes some 50 MB.
    """
    first, last = runs[0].first, runs[-1].last
    n_users = sum(int(np.count_nonzero(run.user_offsets != GONE)) for run in runs)
    n_ids = sum(int(np.count_nonzero(run.id_offsets != GONE)) for run in runs)
    new = new_run(path, first, last, n_users, n_ids)
    filled = 0
    for pieces in _slices([run.users for run in runs]):
        key, offset, _ = _merge(runs, pieces, first, ids=False)
        # An erasure meanwhile may leave fewer entries than were counted.
        new.users[filled : filled + len(key)] = key
        new.user_offsets[filled : filled + len(key)] = offset
        filled += len(key)
        yield None
    _pad(new.users, new.user_offsets, filled)
    filled = 0
    for pieces in _slices([run.high for run in runs]):
        key, offset, low = _merge(runs, pieces, first, ids=True)
        to = slice(filled, filled + len(key))
        new.high[to], new.low[to], new.id_offsets[to] = key, low, offset
        add_to_filter(new.words, new.high[to], new.low[to])
        filled += len(key)
        yield None
    _pad(new.high, new.id_offsets, filled)
    yield new


def _slices(keys: Sequence[Array]) -> Iterator[list[slice]]:
    """Yield slices of each array of sorted keys for successive ranges of keys."""
    largest = max(keys, key=len)
    bounds = largest[MERGED_AT_ONCE::MERGED_AT_ONCE]
    begins = [0] * len(keys)
    for bound in [*bounds, None]:
        ends = [
            len(own) if bound is None else max(begin, int(np.searchsorted(own, bound)))
            for own, begin in zip(keys, begins, strict=True)
        ]
        yield [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
        begins = ends


def _merge(
    runs: Sequence[SortedRun], pieces: Sequence[slice], first: int, *, ids: bool
) -> tuple[Array, Array, Array | None]:
    """Return keys, offsets relative to `first`, and lower halves of one range of keys, sorted."""
    keys, offsets, lows = [], [], []
    for run, piece in zip(runs, pieces, strict=True):
        own = (run.id_offsets if ids else run.user_offsets)[piece]
        kept = own != GONE
        moved = np.where(own == UNKNOWN, UNKNOWN, own.astype(np.int64) + (run.first - first))
        keys.append((run.high if ids else run.users)[piece][kept])
        offsets.append(moved[kept].astype(np.uint32))
        if ids:
            lows.append(run.low[piece][kept])
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    low = np.concatenate(lows)[order] if ids else None
    return key[order], np.concatenate(offsets)[order], low


def _pad(keys: Array, offsets: Array, filled: int) -> None:
    """Mark the rest of the entries as erased, in order."""
    if filled < len(keys):
        keys[filled:] = keys[filled - 1] if filled else 0
        offsets[filled:] = GONE


def _shapes(n_users: int, n_ids: int, words: int) -> list[tuple[int, str]]:
    """Return the length and type of each array, in their order in a file."""
    keys = [(n_users, "<i8"), (n_ids, "<u8"), (n_ids, "<u8"), (words, "<u8")]
    return [*keys, (n_users, "<u4"), (n_ids, "<u4")]


def _views(
    path: Path, data: Array, first: int, last: int, shapes: Sequence[tuple[int, str]]
) -> SortedRun:
    arrays, at = [], HEAD_BYTES
    plain = np.asarray(data)
    for n, dtype in shapes:
        end = at + n * np.dtype(dtype).itemsize
        arrays.append(plain[at:end].view(dtype))
        at = end
    return SortedRun(path, first, last, *arrays)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")
