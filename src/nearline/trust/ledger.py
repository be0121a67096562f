"""The ledger of the privacy budget: what released statistics have cost, in ``privacy.db``.

The cost of a release is written durably *before* the release is computed. So a process that is
killed, or a machine that loses its power, may have paid for a release that nobody saw, but never
shows one that was not paid for. SQLite serialises the writers of all processes, so that no two can
spend the same rest of the budget.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import apsw
from msgspec import Struct

from nearline.common.files import sync_path
from nearline.errors import BudgetSpent, Damaged, StorageFailed

LEDGER = "privacy.db"
# Costs are whole numbers of millionths of epsilon, so that sums are exact.
UNITS = 1_000_000
BUSY_MS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, statistic TEXT NOT NULL,
    per_user INTEGER NOT NULL, cost INTEGER NOT NULL CHECK (cost > 0)
) STRICT
"""
_ENTRIES = "SELECT id, time, statistic, per_user, cost FROM spent ORDER BY id"


class Spent(Struct, frozen=True, kw_only=True):
    """A release that was paid for.

    Attributes
    ----------
    id : int
    time : float
        Unix seconds.
    statistic : str
    per_user : int
        Largest change of all counts together by one user.
    epsilon : float
    """

    id: int
    time: float
    statistic: str
    per_user: int
    epsilon: float


class Ledger:
    """The ledger of a store.

    Parameters
    ----------
    folder : Path or None
        Folder of the store; None keeps the ledger in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / LEDGER
        self._lock = Lock()
        self._memory = apsw.Connection(":memory:")

    def spend(self, statistic: str, per_user: int, cost: int, budget: int, *, now: float) -> int:
        """Write a cost durably; return what is left of the budget, both in `UNITS`.

        Raises
        ------
        BudgetSpent
            The cost is more than what is left.
        StorageFailed, Damaged
            The ledger cannot be written or read; nothing may be released.
        """
        with self._opened() as db, _transaction(db):
            db.execute(_SCHEMA)
            left = budget - int(db.execute("SELECT total(cost) FROM spent").get)
            if cost > left:
                raise BudgetSpent(
                    f"epsilon is {cost / UNITS:g}, but {max(left, 0) / UNITS:g} of the "
                    f"privacy_budget of {budget / UNITS:g} is left; a larger budget in the "
                    "settings weakens the protection of everybody in the store"
                )
            db.execute(
                "INSERT INTO spent (time, statistic, per_user, cost) VALUES (?, ?, ?, ?)",
                (now, statistic, per_user, cost),
            )
        if self._path is not None:
            sync_path(self._path.parent)  # the name of the file, if it is new
        return left - cost

    def entries(self) -> list[Spent]:
        """Return what was spent, the oldest first."""
        if self._path is not None and not self._path.is_file():
            return []
        rows: Any = []
        with self._opened() as db:
            # A process that was killed may have made the file and not yet the table.
            if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'spent'").get:
                rows = db.execute(_ENTRIES).fetchall()
        return [
            Spent(id=at, time=time, statistic=what, per_user=most, epsilon=cost / UNITS)
            for at, time, what, most, cost in rows
        ]

    def spent(self) -> int:
        """Return the sum of all costs in `UNITS`."""
        return sum(round(one.epsilon * UNITS) for one in self.entries())

    def copy_to(self, folder: Path) -> None:
        """Write a copy to another store's folder; do nothing if nothing was ever spent."""
        if not self.entries():
            return
        with (
            self._opened() as db,
            closing(apsw.Connection(str(folder / LEDGER))) as to,
            to.backup("main", db, "main") as copying,
        ):
            copying.step()
        sync_path(folder / LEDGER)
        sync_path(folder)

    @contextmanager
    def _opened(self) -> Iterator[apsw.Connection]:
        """Return a context in which the calling thread alone uses a connection."""
        with self._lock:
            try:
                if self._path is None:
                    yield self._memory
                    return
                with closing(apsw.Connection(str(self._path))) as db:
                    db.set_busy_timeout(BUSY_MS)
                    # With `extra`, the folder is synchronised, too, once the journal of a commit is
                    # removed. Otherwise, a loss of power could bring it back and undo the commit.
                    db.pragma("journal_mode", "delete")
                    db.pragma("synchronous", "extra")
                    yield db
            except (apsw.CorruptError, apsw.NotADBError) as error:
                raise Damaged(
                    f"{self._path} is damaged ({error}); restore the newest copy of it"
                ) from error
            except apsw.Error as error:
                raise StorageFailed(f"{self._path}: {error}; nothing was released") from error


@contextmanager
def _transaction(db: apsw.Connection) -> Iterator[None]:
    """Return a context whose changes are committed at its end; other writers wait from its begin.

    An exception undoes them.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
