"""Threads of a server that follow the log and report that the server lives."""

from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from nearline.errors import LogUnavailable
from nearline.log.postgres.connections import Connections, cut
from nearline.log.postgres.fold import Fold
from nearline.log.postgres.session import Registration, head_of
from nearline.log.postgres.writer import PostgresWriter

if TYPE_CHECKING:
    from psycopg import Connection

# Seconds between two looks at the log without a notification, and between signs of life.
POLL_SECONDS, HEARTBEAT_SECONDS = 1.0, 1.0
# The same while an erasure waits for other servers, and after an error.
BURY_SECONDS, RETRY_SECONDS = 0.05, 0.2


class FollowingThreads:
    """The threads of one log, which run from construction until `interrupt` and `join`."""

    def __init__(
        self, connections: Connections, own: Registration, fold: Fold, writer: PostgresWriter
    ) -> None:
        self._connections, self._session = connections, own
        self._fold, self._writer = fold, writer
        self._listening: Connection[Any] | None = None
        self._stopping = Event()
        self._threads = [
            Thread(target=self._follow, name="nearline-follow", daemon=True),
            Thread(target=self._live, name="nearline-heartbeat", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def interrupt(self) -> None:
        """Let the threads end soon."""
        self._stopping.set()
        if self._listening is not None:
            cut(self._listening)

    def join(self) -> None:
        """Wait until the threads have ended."""
        for thread in self._threads:
            thread.join()

    def _follow(self) -> None:
        """Deliver what other servers append; the body of a thread."""
        channel = f"nearline_{self._connections.target.schema}"
        self._keep_trying(lambda db: self._follow_on(db, channel))

    def _follow_on(self, db: "Connection[Any]", channel: str) -> None:
        self._listening = db
        with self._connections.within(db):
            db.execute(f'LISTEN "{channel}"')
        while not self._stopping.is_set():
            self._fold.yield_to_own()
            with self._connections.within(db, 60.0):
                erasures = self._fold.erasures
                self._fold.catch_up(db, head_of(db))
                if self._fold.erasures > erasures:  # another server may wait for this
                    self._session.heartbeat(db, self._fold.applied, self._fold.forgotten)
            for _ in db.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass

    def _live(self) -> None:
        """Report that this server lives, and overwrite erased records; the body of a thread."""
        self._keep_trying(self._live_on)

    def _live_on(self, db: "Connection[Any]") -> None:
        beats = 0
        while not self._stopping.is_set():
            with self._connections.within(db):
                head = self._session.heartbeat(db, self._fold.applied, self._fold.forgotten)
                self._fold.notice(head.end)
                self._writer.buried(self._session.bury(db))
                if beats % 1_000 == 0:
                    self._session.prune(db)
            beats += 1
            self._stopping.wait(BURY_SECONDS if self._writer.buries else HEARTBEAT_SECONDS)

    def _keep_trying(self, work: "Callable[[Connection[Any]], None]") -> None:
        """Call `work` with a connection until the log is closed or cannot be followed."""
        while not self._stopping.is_set() and self._fold.failure is None:
            db = None
            try:
                db = self._connections.connect()
                with self._connections.explained():
                    work(db)
            except LogUnavailable:
                self._stopping.wait(RETRY_SECONDS)
            except BaseException as error:
                self._fold.fail(error)
            finally:
                if db is not None:
                    db.close()
