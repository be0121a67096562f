"""Sources that are read in threads of their own while the recommender serves."""

import logging
from collections.abc import Callable
from threading import Event as Flag
from threading import Lock, Thread

from nearline.errors import Closed, NearlineError, SourceFailed
from nearline.ingest.connector import Connector

logger = logging.getLogger(__name__)

# Seconds after which a source that failed is opened again.
RETRY_SECONDS = 10.0


class Ingesting:
    """Threads that read sources until `close`; a source that fails is opened again."""

    def __init__(self) -> None:
        self._stopping = Flag()
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._running: list[Connector] = []

    def start(self, make: Callable[[], Connector]) -> None:
        """Start a thread that runs the connector which `make` opens.

        The first call of `make` is in this thread, so that wrong arguments raise errors here.
        """
        thread = Thread(target=self._run, args=(make(), make), name="nearline-ingest", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Stop all connectors and wait until what they read is stored. Idempotent."""
        self._stopping.set()
        with self._lock:
            for connector in self._running:
                connector.stop()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _run(self, connector: Connector, make: Callable[[], Connector]) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._running.append(connector)
            if self._stopping.is_set():
                return
            try:
                connector.run(follow=True)
            except Closed:
                return
            except SourceFailed as error:
                logger.warning("%s; the source is opened again", error)
            except NearlineError as error:
                logger.warning("a source is not read any more: %s", error)
                return
            except Exception:  # must not end silently
                logger.exception("a source is not read any more")
                return
            finally:
                with self._lock:
                    self._running.remove(connector)
            if not self._stopping.wait(RETRY_SECONDS):
                try:
                    connector = make()
                except NearlineError as error:
                    logger.warning("a source cannot be opened: %s", error)
