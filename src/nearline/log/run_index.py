"""Index of the log: the offsets of each user's records and of each event ID, in sorted runs.

Keys are hashes, so a B-tree would write a page for nearly every event once it outgrows the memory.
New keys are therefore kept in memory, written as a sorted run when there are many, and four
adjacent runs of similar size are merged into one in the background (P. O'Neil et al., "The
log-structured merge-tree", Acta Informatica 33, 1996). An entry is written once for each power of
four in the number of records.

The table `runs` of the log's file lists the runs, which cover the offsets from 0 without gaps. The
table `recent` has the keys of later records when the log was closed; after a crash, the records
themselves are read again. If a file of a run is missing or damaged, this begins there.
"""

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Thread
from typing import cast

import apsw
import numpy as np
from numpy.typing import NDArray

from nearline.errors import Closed, Damaged, StorageFailed
from nearline.kernels.key_filter import ABSENT, GONE, NOWHERE, find_keys
from nearline.log.block_codec import CodedBlock
from nearline.log.codec import KEY_BYTES, Coded, decode, keys_of
from nearline.log.runs import Buried, SortedRun, fill, merged, new_run, open_run, seal

logger = logging.getLogger(__name__)

# Records whose keys are in memory before they are written as a run.
FLUSH = 32_768
# Runs of similar size, within this factor, that are merged, and runs at which the writer waits.
FANOUT, MOST_RUNS = 4, 64
# Records that are read again at a time, and from which on progress is logged.
AGAIN, REPORTED = 20_000, 500_000
SCHEMA = """
CREATE TABLE runs (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, name TEXT NOT NULL) STRICT;
CREATE TABLE recent (offset INTEGER PRIMARY KEY, user_key INTEGER, event_key BLOB) STRICT;
"""
_ADD_RECENT = "INSERT OR REPLACE INTO recent (offset, user_key, event_key) VALUES (?, ?, ?)"
_DROP_RECENT = "DELETE FROM recent WHERE offset < ?"
_BURY_RECENT = "DELETE FROM recent WHERE offset IN (SELECT value FROM carray(?))"
# The offsets whose keys the table `recent` has, from the first to before the last.
_SET_RECENT = "INSERT OR REPLACE INTO meta VALUES ('recent_first', ?), ('recent_last', ?)"
_SPAN_FROM = "UPDATE meta SET value = max(value, ?) WHERE name = 'recent_first'"
_SPAN = (
    "SELECT coalesce((SELECT value FROM meta WHERE name = 'recent_first'), 0), "
    "coalesce((SELECT value FROM meta WHERE name = 'recent_last'), 0)"
)
_RECENT = "SELECT offset, user_key, event_key FROM recent WHERE offset >= ? ORDER BY offset"
_WRONG = (  # rows of a damaged file
    "SELECT count(*) FROM recent WHERE typeof(user_key) NOT IN ('integer', 'null') "
    "OR typeof(event_key) NOT IN ('blob', 'null') OR length(event_key) != ?"
)
_RUNS = "SELECT first, last, name FROM runs ORDER BY first"
_ADD_RUN = "INSERT INTO runs (first, last, name) VALUES (?, ?, ?)"
_DROP_RUNS = "DELETE FROM runs WHERE first >= ? AND last <= ?"
_RECORDS = "SELECT offset, payload FROM log WHERE offset >= ? AND offset < ? ORDER BY offset"
_OF_OFFSETS = (
    "SELECT offset, payload FROM log WHERE offset IN (SELECT value FROM carray(?)) ORDER BY offset"
)
# Events whose payload was overwritten with zeros.
_ERASED = (
    "SELECT offset FROM log WHERE offset IN (SELECT value FROM carray(?)) "
    "AND substr(payload, 1, 1) = x'00'"
)

Pair = tuple[int, bytes]  # offset, payload
# One transaction that excludes all other use of the log's tables.
Transaction = Callable[[], AbstractContextManager[None]]


class RunIndex:
    """Index of one log. Except for `flush_if_due`, the caller excludes concurrent calls.

    Parameters
    ----------
    db : apsw.Connection
        Writable connection to the log's file.
    folder : Path or None
        Folder of the runs, which is created; None for a log in memory.
    end : int
        End of the log.
    transaction : callable
        See `Transaction`.

    Raises
    ------
    Damaged
        A record whose keys must be read again cannot be decoded, or is missing.
    """

    def __init__(
        self,
        db: apsw.Connection,
        folder: Path | None,
        end: int,
        transaction: Transaction,
        opened: Callable[[list[Pair]], list[Pair]],
    ) -> None:
        self._db, self._folder, self._transaction, self._opened = db, folder, transaction, opened
        self._users: defaultdict[int, list[int]] = defaultdict(list)
        self._ids: dict[bytes, int] = {}
        # Runs in files, or in memory for a log in memory, and then those not yet written.
        self._runs: tuple[SortedRun, ...] = ()
        self._fresh: tuple[SortedRun, ...] = ()
        self._merging: Thread | None = None
        self._stopping = False
        # Erasures while runs are merged, which the new run must repeat, and files to sync.
        self._meanwhile: list[Buried] = []
        self._touched: set[Path] = set()
        if folder is not None:
            self._open_runs(folder, end)
        self._end = self._start = self._indexed
        self._open_recent(end)
        self._read_again(end)

    @property
    def _indexed(self) -> int:
        """Offset before which the keys of all records are in runs."""
        return self._runs[-1].last if self._runs else 0

    def known(self, event_keys: Sequence[bytes]) -> set[bytes]:
        """Return the subset of `event_keys` that is stored."""
        found = {key for key in event_keys if key in self._ids}
        rest = [key for key in event_keys if key not in self._ids]
        if rest and (self._runs or self._fresh):
            keys = np.frombuffer(b"".join(rest), dtype=np.uint8).reshape(-1, KEY_BYTES)
            found.update(rest[at] for at in np.flatnonzero(self._offsets(keys) != ABSENT).tolist())
        return found

    def known_in(self, block: CodedBlock) -> NDArray[np.int64]:
        """Return the positions in `block` of events whose keys are stored, in any order."""
        rows = np.flatnonzero(block.keyed)
        keys = block.event_keys[rows]
        found = self._offsets(keys) != ABSENT
        if self._ids:
            packed = keys.tobytes()
            for at in range(len(rows)):
                found[at] |= packed[at * KEY_BYTES : (at + 1) * KEY_BYTES] in self._ids
        positions: NDArray[np.int64] = rows[found]
        return positions

    def under(self, user_key: int, start: int) -> list[Pair]:
        """Return (offset, payload) of each row with a user key from an offset on, in order."""
        runs = (*self._runs, *self._fresh)
        offsets = [at for run in runs if run.last > start for at in run.of_user(user_key)]
        offsets += self._users.get(user_key, ())
        wanted = np.array([at for at in offsets if at >= start], dtype=np.int64)
        if not len(wanted):
            return []
        return cast("list[Pair]", self._db.execute(_OF_OFFSETS, (apsw.carray(wanted),)).fetchall())

    def offset_of(self, event_key: bytes) -> int | None:
        """Return the offset of an event; None if it is unknown."""
        if (recent := self._ids.get(event_key)) is not None:
            return recent
        offset = int(self._offsets(np.frombuffer(event_key, dtype=np.uint8)[None])[0])
        return None if offset in (ABSENT, NOWHERE) else offset

    def add(self, start: int, rows: Sequence[Coded]) -> None:
        """Add the keys of committed records with offsets from `start` on."""
        for offset, row in enumerate(rows, start):
            if row.user_key is not None:
                self._users[row.user_key].append(offset)
            if row.event_key is not None:
                self._ids[row.event_key] = offset
        self._end = start + len(rows)

    def add_block(self, start: int, block: CodedBlock) -> None:
        """Add the keys of a committed block with offsets from `start` on."""
        self._freeze()
        self._end = start + len(block.spans)
        keyed = np.flatnonzero(block.keyed)
        run = new_run(None, start, self._end, len(block.users), len(keyed))
        places = np.arange(len(block.users), dtype=np.uint32)
        users = block.user_keys[block.users]
        run = fill(run, users, places, block.event_keys[keyed], places[keyed])
        self._start = self._end
        self._fresh = (*self._fresh, run)

    def bury_stored(self, offsets: NDArray[np.int64]) -> None:
        """Remove keys from the log's file; the caller begins the transaction."""
        self._db.execute(_BURY_RECENT, (apsw.carray(offsets),))

    def bury(self, records: Sequence[Buried]) -> None:
        """Remove the keys of some records that were overwritten."""
        if self._merging is not None:
            self._meanwhile += records
        for record in records:
            self._ids.pop(record.event_key or b"", None)
            recent = self._users.get(record.user_key, [])  # ascending
            at = bisect_left(recent, record.offset)
            if recent[at : at + 1] == [record.offset]:
                del recent[at]
        for run in (*self._runs, *self._fresh):
            self._erase(run, records)

    def _erase(self, run: SortedRun, records: Sequence[Buried]) -> None:
        inside = [one for one in records if run.first <= one.offset < run.last]
        if inside:
            run.erase(inside)
            if run.path is not None:
                self._touched.add(run.path)

    def sync(self) -> None:
        """Write removed keys to disk."""
        for run in self._runs:
            if run.path in self._touched:
                run.sync()
        self._touched.clear()

    def flush_if_due(self) -> None:
        """Write the keys in memory as a run if there are many; the writer calls this."""
        if self._end - self._indexed < FLUSH:
            return
        try:
            self._flush()
        except (OSError, StorageFailed) as error:  # the keys stay in memory
            logger.warning("keys of the log cannot be written, this is tried again: %s", error)
            return
        if len(self._runs) >= MOST_RUNS:
            self.settle()
        if self._merging is None and self._group():
            self._merging = Thread(target=self._merge_all, name="nearline-runs")
            self._merging.start()

    def settle(self) -> None:
        """Wait until no runs are merged."""
        if (merging := self._merging) is not None:
            merging.join()

    def close(self) -> None:
        """Stop a merge, and store the keys in memory in the log's file if possible."""
        self._stopping = True
        self.settle()
        if self._folder is None or self._end == self._indexed:
            return
        self._freeze()
        found: dict[int, list[int | bytes | None]] = {}
        for run in self._fresh:
            for key, at in zip(run.users.tolist(), run.user_offsets.tolist(), strict=True):
                found[run.first + at] = [key, None]
            ids = zip(run.high.tolist(), run.low.tolist(), run.id_offsets.tolist(), strict=True)
            for high, low, at in ids:
                if at != GONE:
                    # In a damaged log, a record may have lost its user.
                    entry = found.setdefault(run.first + at, [None, None])
                    entry[1] = high.to_bytes(8) + low.to_bytes(8)
            found.pop(run.first + GONE, None)
        with suppress(StorageFailed), self._transaction():
            self._db.execute("DELETE FROM recent")
            self._db.executemany(_ADD_RECENT, ((offset, *keys) for offset, keys in found.items()))
            self._db.execute(_SET_RECENT, (self._indexed, self._end))

    def _freeze(self) -> None:
        """Move the keys of single records to a run in memory."""
        if self._end == self._start:
            return
        entries = [(key, at) for key, offsets in self._users.items() for at in offsets]
        entries.sort(key=lambda entry: entry[1])
        run = new_run(None, self._start, self._end, len(entries), len(self._ids))
        users = np.array([key for key, _ in entries], dtype=np.int64)
        places = np.array([at - self._start for _, at in entries], dtype=np.uint32)
        keys = np.frombuffer(b"".join(self._ids), dtype=np.uint8).reshape(-1, KEY_BYTES)
        ids = np.array([at - self._start for at in self._ids.values()], dtype=np.uint32)
        self._fresh = (*self._fresh, fill(run, users, places, keys, ids))
        self._start = self._end
        self._users, self._ids = defaultdict(list), {}

    def _flush(self) -> None:
        self._freeze()
        path = self._path((fresh := self._fresh)[0].first, fresh[-1].last)
        if path is not None:
            path.parent.mkdir(exist_ok=True)
        run = seal(list(merged(fresh, path))[-1] or fresh[0])
        with self._transaction():
            if run.path is not None:
                self._db.execute(_ADD_RUN, (run.first, run.last, run.path.name))
                self._db.execute(_DROP_RECENT, (run.last,))
                self._db.execute(_SPAN_FROM, (run.last,))
            self._runs = (*self._runs, run)
            self._fresh = ()

    def _path(self, first: int, last: int) -> Path | None:
        return None if self._folder is None else self._folder / f"{first:012}-{last:012}.run"

    def _group(self) -> tuple[SortedRun, ...]:
        """Return the newest adjacent runs of a similar size, if they are enough to be merged."""
        runs, level = self._runs, -1
        group: list[SortedRun] = []
        for run in reversed(runs):
            # A small run between large ones is merged with them.
            own = max(level, int(np.log(max(run.last - run.first, 1)) / np.log(FANOUT)))
            if own != level and len(group) >= FANOUT:
                break
            group = [run] if own != level else [run, *group]
            level = own
        return tuple(group) if len(group) >= FANOUT else ()

    def _merge_all(self) -> None:
        try:
            while not self._stopping and (group := self._group()):
                self._merge(group)
        except (OSError, StorageFailed, Closed) as error:
            logger.warning("runs of the log cannot be merged, this is tried again: %s", error)
        finally:
            self._merging = None

    def _merge(self, group: tuple[SortedRun, ...]) -> None:
        with self._transaction():  # not during an erasure
            self._meanwhile = []
        path = self._path(group[0].first, group[-1].last)
        new: SortedRun | None = None
        for step in merged(group, path):
            if self._stopping:
                return
            new = step
        assert new is not None  # noqa: S101 (for the type checker)
        seal(new)
        with self._transaction():
            if path is not None:
                self._db.execute(_DROP_RUNS, (new.first, new.last))
                self._db.execute(_ADD_RUN, (new.first, new.last, path.name))
            self._erase(new, self._meanwhile)
            at = self._runs.index(group[0])
            self._runs = (*self._runs[:at], new, *self._runs[at + len(group) :])
        for old in group:
            if old.path is not None:
                old.path.unlink(missing_ok=True)

    def _offsets(self, keys: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the offset of each key in runs, `ABSENT` or `NOWHERE`: int64 [n]."""
        halves = np.ascontiguousarray(keys).view(">u8").astype(np.uint64)
        high, low = halves[:, 0].copy(), halves[:, 1].copy()
        found = np.full(len(keys), ABSENT, dtype=np.int64)
        for run in (*self._runs, *self._fresh):
            if len(run.high):
                args = (run.words, run.high, run.low, run.id_offsets, run.first)
                find_keys(high, low, *args, found)
        stored = found[found >= 0]
        if len(stored):
            # After a power failure, an erased key may still be in a file.
            erased = self._db.execute(_ERASED, (apsw.carray(stored),)).fetchall()
            found[np.isin(found, np.array(erased, dtype=np.int64))] = ABSENT
        return found

    def _open_runs(self, folder: Path, end: int) -> None:
        """Open the runs that cover the log from its beginning; remove all other files."""
        expected, runs = 0, []
        listed = cast("list[tuple[int, int, str]]", self._db.execute(_RUNS).fetchall())
        for first, last, name in listed:
            run = open_run(folder / name, first, last) if first == expected else None
            if run is None or last > end:
                logger.warning("the index %s lacks %s; it is made again", folder, name)
                break
            expected = last
            runs.append(run)
        self._runs = tuple(runs)
        with self._transaction():
            if listed:  # also if its file is lost: `recent` no longer has its keys
                self._db.execute(_SPAN_FROM, (listed[-1][1],))
            self._db.execute(_DROP_RUNS, (expected, 2**62))
        files = set(folder.iterdir()) if folder.exists() else set()
        for path in files - {run.path for run in runs}:
            path.unlink()

    def _open_recent(self, end: int) -> None:
        """Add the keys that were stored when the log was closed."""
        ((first, last),) = cast("list[tuple[int, int]]", self._db.execute(_SPAN).fetchall())
        wrong = self._db.execute(_WRONG, (KEY_BYTES,)).fetchall() != [(0,)]
        if wrong or not first <= self._end < last <= end:
            return  # the records are read again
        rows = self._db.execute(_RECENT, (self._end,)).fetchall()
        for offset, user, event in cast("list[tuple[int, int | None, bytes | None]]", rows):
            if user is not None:
                self._users[user].append(offset)
            if event is not None:
                self._ids[event] = offset
        self._end = last

    def _read_again(self, end: int) -> None:
        begun = self._end
        for start in range(begun, end, AGAIN):
            stop = min(start + AGAIN, end)
            stored = cast("list[Pair]", self._db.execute(_RECORDS, (start, stop)).fetchall())
            if len(stored) < stop - start:  # also if a damaged offset is far from the others
                raise Damaged(
                    f"the log lacks records between the offsets {start} and {stop}; restore the "
                    "file from a backup"
                )
            self.add(start, [Coded(b"", *keys_of(decode(*row))) for row in self._opened(stored)])
            if end - begun > REPORTED:
                logger.warning("indexing the log: %d %%", 100 * (stop - begun) // (end - begun))
            self.flush_if_due()
