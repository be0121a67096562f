"""Processes that serve marked lists until they are killed: one for each folder that is read.

Each folder on a line of the standard input gets a process, forked from this one, so that the
interpreter starts once for many kills. The process writes `serving PID`, and the number of lists
served and the time after each few; then, once it was killed, this one writes `killed`.
"""

import os
import sys
import time
from pathlib import Path

from nearline.served import ServedLog
from nearline.served.rows import Served


def serve(folder: Path) -> None:
    """Serve lists without an end."""
    log = ServedLog(folder, 90.0, time.time)
    number = 0
    while True:
        for _ in range(20):
            number += 1
            log.add(
                Served(
                    recommendation_id=f"r{number}",
                    user_id=f"u{number % 7}",
                    timestamp=time.time(),
                    item_ids=("a", "b"),
                    tiers=("personal", "popular"),
                    model="m",
                    offset=number,
                )
            )
        print(number, time.time(), flush=True)
        time.sleep(0.01)


for line in sys.stdin:
    process = os.fork()
    if process == 0:
        print("serving", os.getpid(), flush=True)
        serve(Path(line.rstrip("\n")))
    os.waitpid(process, 0)
    print("killed", 0, flush=True)
