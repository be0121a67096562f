"""Writers of a log that several servers share, and what is left of their events."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

from nearline.errors import LogUnavailable
from nearline.log import SharedLog, open_log
from nearline.schema import Event, Record
from nearline.testing.servers.base import wait_until


def opened(url: str) -> SharedLog:
    log = open_log(url)
    assert isinstance(log, SharedLog)
    return log


class Writing(threading.Thread):
    """A client that repeats each event until it is acknowledged, and records its longest gap."""

    def __init__(self, log: SharedLog, name: str, done: threading.Event) -> None:
        super().__init__(daemon=True)
        self.log, self.client, self.done = log, name, done
        self.acknowledged: list[str] = []
        self.gap = 0.0

    def run(self) -> None:
        """Send events until told to stop."""
        last = time.monotonic()
        for number in count():
            if self.done.is_set():
                return
            event_id = f"{self.client}-{number}"
            mine = Event(user_id=self.client, item_id="i", timestamp=1.0, event_id=event_id)
            while True:
                try:
                    self.log.append([mine]).result()
                    break
                except LogUnavailable:
                    continue
            self.acknowledged.append(event_id)
            now = time.monotonic()
            self.gap, last = max(self.gap, now - last), now


def started(logs: Sequence[SharedLog], done: threading.Event) -> list[Writing]:
    """Start a writer for each log."""
    writers = [Writing(log, f"w{n}", done) for n, log in enumerate(logs)]
    for writer in writers:
        writer.start()
    return writers


def wait_until_written(writers: Sequence[Writing]) -> None:
    """Wait until each writer has had another event acknowledged."""
    targets = [len(writer.acknowledged) + 1 for writer in writers]

    def written() -> bool:
        return all(len(w.acknowledged) >= n for w, n in zip(writers, targets, strict=True))

    wait_until(written, "the next event of each writer", 60.0)


def outcome(
    writers: Sequence[Writing],
    logs: Sequence[SharedLog],
    done: threading.Event,
    followers: "Sequence[Following]" = (),
) -> dict[str, Any]:
    """End the writers and close the logs; return what is stored of what was acknowledged.

    Followers must have received each stored event once, in order.
    """
    done.set()
    for writer in writers:
        writer.join()
    for log in logs:
        log.append([]).result()  # the listener has received everything then
    stored = list(logs[0].read())
    for log in logs:
        log.close()
    expected = [(at, record.event_id) for at, record in stored if isinstance(record, Event)]
    ids = Counter(event_id for _, event_id in expected)
    acknowledged = [event_id for writer in writers for event_id in writer.acknowledged]
    return {
        "acknowledged": len(acknowledged),
        "lost": sum(event_id not in ids for event_id in acknowledged),
        "double": sum(number > 1 for number in ids.values()),
        "dense": [at for at, _ in stored] == list(range(len(stored))),
        "delivered alike": all(one.received == expected for one in followers),
        "longest gap s": round(max(writer.gap for writer in writers), 2),
    }


class Following:
    """Listener of a log, which keeps the offset and the ID of each event."""

    def __init__(self, log: SharedLog) -> None:
        self.received: list[tuple[int, str | None]] = []
        log.listen(self._receive, lambda *_: None)

    def _receive(self, records: Sequence[tuple[int, Record]]) -> None:
        self.received += [
            (at, record.event_id) for at, record in records if isinstance(record, Event)
        ]
