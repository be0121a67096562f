"""Jobs of the log's writer: records to append, and records of a user to erase."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from nearline.log.base import Appendable, Appended
from nearline.log.block_codec import CodedBlock
from nearline.log.codec import Coded
from nearline.schema import EventBlock, UserRecord
from nearline.schema.retention import Cutoffs


@dataclass(frozen=True)
class AppendJob:
    """Job that stores records atomically; `coded` contains their encoded forms.

    `readmit` stores events of users who were erased after them, too.
    """

    records: Sequence[Appendable]
    coded: Sequence[Coded]
    future: "Future[Appended]" = field(default_factory=Future)
    joins: bool = True
    readmit: bool = False

    @property
    def size(self) -> int:
        """Number of records, at least 1, since an empty list is also a job in the queue."""
        return len(self.records) or 1

    @property
    def bytes(self) -> int:
        """Size of the encoded records."""
        return sum(len(row.payload) for row in self.coded)


@dataclass(frozen=True)
class BlockJob:
    """Job that stores a block of events atomically; `coded` is its encoded form."""

    block: EventBlock
    coded: CodedBlock
    future: "Future[Appended]" = field(default_factory=Future)
    joins: bool = False

    @property
    def size(self) -> int:
        """Number of events, at least 1."""
        return len(self.block) or 1

    @property
    def bytes(self) -> int:
        """Size of the encoded events."""
        return len(self.coded.payloads)


class Known(NamedTuple):
    """Records of a user that were read before the writer executes a job.

    Attributes
    ----------
    events : list of (int, UserRecord)
        All records of the user with their offsets, before the offset `end`.
    end, erasures : int
        End and number of erasures of the log before it was read.
    """

    events: list[tuple[int, UserRecord]]
    end: int
    erasures: int


@dataclass(frozen=True)
class EraseJob:
    """A user to erase, one event of a user, or events that are expired.

    `known` contains records of the user, which the writer then need not read. `at` is the time of
    the erasure, in Unix seconds; None if it is not to be remembered.
    """

    user_id: str
    event_id: str | None = None
    known: Known | None = None
    cutoffs: Cutoffs | None = None
    future: "Future[int]" = field(default_factory=Future)
    size: int = 1
    bytes: int = 0
    joins: bool = False
    at: float | None = None


class Left(NamedTuple):
    """Records of a user that remain, while the listener is called for an erasure."""

    user_id: str
    records: list[tuple[int, UserRecord]]


# What the writer executes.
WriteJob = AppendJob | BlockJob | EraseJob
