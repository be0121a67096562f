"""The served log of an open recommender: collected in memory, written in the background.

Adding an entry appends to a queue in memory and waits for nothing. Four times a second, a thread
writes the queue to the newest segment. A process that is killed loses what was served since the
last time. That is less than a second also if the machine is so busy that the thread, or the disk
for which it waits, is late by half a second.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from shutil import copyfile
from threading import Event, Lock, RLock, Thread
from time import monotonic
from typing import Any

from nearline.sealing import Seal
from nearline.served.rows import ItemsSeen, Served, Timed, timed
from nearline.served.segments import (
    FOLDER,
    SegmentReader,
    SegmentWriter,
    entries_of,
    erase_from,
    read_segments,
    segments_of,
)

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
# Entries that are kept by a recommender in memory, of which the oldest are dropped beyond it, and
# that wait to be written, to which no further ones are added.
RING = 100_000
# Length of the queue, which has entries and times in turn, at which it is full.
_FULL = 2 * RING


class ServedLog:
    """Keeps the lists that were served.

    Parameters
    ----------
    store : Path or None
        Folder of the store; None keeps the last `RING` entries in memory only.
    days : float
        Days after which entries are removed.
    clock : callable
        Returns the time in Unix seconds.
    writable : bool
        Whether the folder can be written; otherwise entries are kept in memory only.
    seal : Seal or None
        Seal of the store; entries on disk are then sealed for their users.

    Attributes
    ----------
    dropped : int
        Number of entries that were not kept because too many waited to be written.
    erasures : int
        Number of erasures and replacements; what was derived from entries before is invalid.
    """

    def __init__(
        self,
        store: Path | None,
        days: float,
        clock: Callable[[], float],
        *,
        writable: bool = True,
        seal: Seal | None = None,
    ) -> None:
        self.folder = None if store is None else store / FOLDER
        self.dropped = self.erasures = 0
        self._days, self._clock, self._seal = days, clock, seal
        # Entries and times in turn. Pairs would be containers that wait for the garbage collector,
        # whose runs would cost the reads more than all else here. A list, since slices of it are
        # taken and removed in one step each, between the steps of other threads.
        self._new: list[Any] = []
        self._extend = self._new.extend
        self._most = 0  # length of the queue from which `_put` decides: 0 until the thread runs
        self._ring: deque[Timed] = deque(maxlen=RING)
        self._in_ring = 0  # entries that the ring ever had
        keeps = self.folder is not None and writable
        self._writer = SegmentWriter(self.folder, days, seal) if keeps and self.folder else None
        self._erasing: set[str] = set()
        self._writing = RLock()
        self._starting = Lock()
        self._stopping = Event()
        self._thread: Thread | None = None

    def add(self, served: Served) -> None:
        """Add a list that is served now, once more or for the first time."""
        if len(self._new) < self._most:  # nearly always; it is part of the fastest reads
            self._extend((served, self._clock()))
        else:
            self._put(served, self._clock())

    def seen(self, recommendation_id: str, user_id: str | None, item_ids: Sequence[str]) -> None:
        """Add what a user saw of a list."""
        now = self._clock()
        entry = ItemsSeen(
            recommendation_id=recommendation_id,
            user_id=user_id,
            timestamp=now,
            item_ids=tuple(item_ids),
        )
        self._put(entry, now)

    def entries(self, since: float = 0.0) -> Iterator[Served | ItemsSeen]:
        """Yield all entries from a time on (Unix seconds), including those not written yet."""
        self.flush()
        if self.folder is not None:
            yield from read_segments(self.folder, since, self._seal)
        with self._writing:
            kept = list(self._ring)
        yield from (timed(entry, time) for entry, time in kept if time >= since)

    def reader(self, since: float) -> Callable[[], list[Served | ItemsSeen]]:
        """Return a function that returns the entries since its last call, from a time on.

        It is valid until `erasures` changes.
        """
        files = None if self.folder is None else SegmentReader(self.folder, since, self._seal)
        read = 0

        def news() -> list[Served | ItemsSeen]:
            nonlocal read
            self.flush()
            found = [] if files is None else list(files.news())
            with self._writing:
                n = min(self._in_ring - read, len(self._ring))
                read = self._in_ring
                kept = list(islice(reversed(self._ring), n))[::-1]
            return found + [timed(entry, time) for entry, time in kept if time >= since]

        return news

    def of_user(self, user_id: str) -> list[Served | ItemsSeen]:
        """Return all entries of a user, oldest first within a segment."""
        self.flush()
        found = [] if self.folder is None else list(entries_of(self.folder, user_id, self._seal))
        with self._writing:
            kept = list(self._ring)
        theirs = (timed(entry, time) for entry, time in kept if entry.user_id == user_id)
        return [*found, *theirs]

    def flush(self) -> None:
        """Write the entries that wait. If that fails, a warning is logged and they are lost."""
        with self._writing:
            entries, times = self._take()
            if not entries:
                return
            if self._writer is None:
                self._ring.extend(zip(entries, times, strict=True))
                self._in_ring += len(entries)
                return
            try:
                self._writer.write(entries, times, self._clock())
            except OSError as error:
                self._writer.close()
                logger.warning("%d served lists were not logged: %s", len(entries), error)

    def begin_erasure(self, user_id: str) -> int:
        """Remove all entries of a user; until `end_erasure`, further ones are dropped."""
        with self._writing:
            self.flush()
            self._erasing.add(user_id)
            if self._writer is None:
                kept = [one for one in self._ring if one[0].user_id != user_id]
                count = len(self._ring) - len(kept)
                self._ring = deque(kept, maxlen=RING)
                self.erasures += 1
                return count
            self._writer.close()
            try:
                return 0 if self.folder is None else erase_from(self.folder, user_id, self._seal)
            finally:  # not earlier: a reader that knows of the erasure must not find the old files
                self.erasures += 1

    def end_erasure(self, user_id: str) -> None:
        """Drop what was added meanwhile; from now on, entries of the user are kept again."""
        with self._writing:
            self.flush()
            self._erasing.discard(user_id)

    @property
    def used(self) -> bool:
        """Whether a list was ever served that is kept."""
        return self._thread is not None or (self.folder is not None and self.folder.is_dir())

    def copy_to(self, store: Path) -> None:
        """Copy all segments to the folder of another store."""
        if self.folder is None or not self.folder.is_dir():
            return
        with self._writing:
            self.flush()
            (store / FOLDER).mkdir(exist_ok=True)
            for path in segments_of(self.folder):
                copyfile(path, store / FOLDER / path.name)

    def clear(self) -> None:
        """Forget the entries in memory, since the log to which their offsets belong is replaced."""
        with self._writing:
            self._new.clear()
            self._ring.clear()
            self.erasures += 1

    def close(self) -> None:
        """Write what waits, and stop. Idempotent."""
        self._stopping.set()
        self._most = 0
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.flush()
        with self._writing:
            if self._writer is not None:
                self._writer.close()

    def _put(self, entry: Served | ItemsSeen, now: float) -> None:
        if len(self._new) >= _FULL:
            self.dropped += 1
        else:
            self._extend((entry, now))
        if self._thread is None and not self._stopping.is_set():
            with self._starting:
                if self._thread is None:
                    self._thread = Thread(target=self._run, name="nearline-served", daemon=True)
                    self._thread.start()
                    self._most = _FULL

    def _take(self) -> tuple[list[Served | ItemsSeen], list[float]]:
        """Remove the entries that wait; return them, and the times at which they were added."""
        new, erasing = self._new, self._erasing
        taken = new[: len(new) // 2 * 2]
        del new[: len(taken)]
        entries, times = taken[::2], taken[1::2]
        if erasing:
            kept = [at for at, entry in enumerate(entries) if entry.user_id not in erasing]
            entries, times = [entries[at] for at in kept], [times[at] for at in kept]
        return entries, times

    def _run(self) -> None:
        took = 0.0
        # The time that the disk took counts, so that entries don't wait for it and the pause.
        while not self._stopping.wait(max(FLUSH_SECONDS - took, 0.01)):
            begin = monotonic()
            try:
                self.flush()
            except Exception:  # must not end the thread
                logger.exception("served lists could not be logged")
            took = monotonic() - begin
