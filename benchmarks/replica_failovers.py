"""Failovers from a primary to its synchronous standby, with three writers."""

import random
import statistics
import threading
import time
from typing import Any

from benchmarks.replica_writers import Following, opened, outcome, started, wait_until_written

from nearline.testing.servers import postgres

# A standby that has lost its primary looks for it at this interval, 5 s by default, and a promotion
# may have to wait for the end of the interval.
SETTINGS = {"wal_retrieve_retry_interval": "200ms"}


def failovers(times: int) -> list[dict[str, Any]]:
    """Kill the primary and promote the standby; the killed one becomes the next standby.

    The URL names both, and each writer finds the primary by itself. Each of their logs must also
    deliver every record once, in order.
    """
    with postgres(15, SETTINGS) as primary, postgres(15, SETTINGS) as standby:
        url = primary.url(standby)
        standby.follow(primary)
        primary.require_standby()
        logs, done = [opened(url) for _ in range(3)], threading.Event()
        followers = [Following(log) for log in logs]
        writers, gaps, seconds = started(logs, done), [], []
        for number in range(times):
            time.sleep(random.Random(number).uniform(0.1, 0.5))
            for writer in writers:
                writer.gap = 0.0
            start = time.monotonic()
            primary.kill()
            standby.promote()
            seconds.append(time.monotonic() - start)
            primary, standby = standby, primary
            standby.follow(primary)
            primary.require_standby()
            wait_until_written(writers)
            gaps.append(max(writer.gap for writer in writers))
        found = outcome(writers, logs, done, followers)
    found["longest gap s"] = round(max(gaps), 2)
    found["median gap s"] = round(statistics.median(gaps), 2)
    return [{"failovers": times, **found, "longest promotion s": round(max(seconds), 2)}]
