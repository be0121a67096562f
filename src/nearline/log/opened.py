"""Reading, following and closing of a log that is open for writing."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from threading import Event as Signal
from threading import Lock
from typing import Self

from nearline.errors import Closed, InvalidInput
from nearline.log.base import check_process
from nearline.schema import Event, Record, UserRecord


class OpenedLog(ABC):
    """Part of `Log` that does not depend on where the records are.

    A subclass sets `_stopping` when it begins to close, and `_closed` once nothing can be read.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._closed = False
        self._stopping, self._closing = Signal(), Lock()

    @property
    @abstractmethod
    def end(self) -> int:
        """Offset of the next record."""

    @abstractmethod
    def records_of(self, user_id: str) -> list[tuple[int, UserRecord]]:
        """Return all records that name a user with their offsets, in order."""

    @abstractmethod
    def _records(self, start: int, stop: int) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) in order; raise `Closed` once the log is closed."""

    @abstractmethod
    def _wait_beyond(self, offset: int) -> None:
        """Wait until the log has a record at `offset`, or begins to close."""

    @abstractmethod
    def _close(self) -> None:
        """Store what is queued and release all; called once."""

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record), `Erased` included, for offsets from `start` to ``stop - 1``.

        If `stop` is None, it is the end of the log at the time of the call. At most 1,000 records
        are in memory at a time. Records can be appended during the iteration.

        Raises
        ------
        InvalidInput
            `start` is negative.
        Damaged
            During iteration: a record is missing or cannot be decoded; the message has its offset.
        Closed
            The log was closed, also during iteration.
        """
        if start < 0:
            raise InvalidInput(f"start is {start}; offsets begin at 0", field="start")
        self._check_open()
        end = self.end
        return self._records(start, end if stop is None else min(stop, end))

    def tail(self, offset: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) from `offset` on, including records committed later.

        The iterator waits for the next commit. Erasures are not reported; use `listen` for them.

        Raises
        ------
        InvalidInput
            `offset` is negative.
        Closed
            During iteration: the log was closed.
        """
        if offset < 0:
            raise InvalidInput(f"offset is {offset}; offsets begin at 0", field="offset")
        self._check_open()
        return self._following(offset)

    def _following(self, offset: int) -> Iterator[tuple[int, Record]]:
        while True:
            self._check_open()
            if self._stopping.is_set():
                raise Closed("the log is closed; open the store again")
            for at, record in self._records(offset, self.end):
                yield at, record
                offset = at + 1
            self._wait_beyond(offset)

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Return all events of a user with their offsets, in order; empty for an unknown user.

        The time depends on the number of the user's records, not on the length of the log. A
        listener may call this method.
        """
        return [
            (offset, record)
            for offset, record in self.records_of(user_id)
            if isinstance(record, Event)
        ]

    def close(self) -> None:
        """Store all queued records, then release what the log uses; idempotent.

        In a process that was forked after the log was opened, it does nothing.
        """
        if self._process != os.getpid():
            return
        with self._closing:
            if not self._closed:
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_process(self) -> None:
        check_process(self._process)

    def _check_open(self) -> None:
        self._check_process()
        if self._closed:
            raise Closed("the log is closed; open the store again")
