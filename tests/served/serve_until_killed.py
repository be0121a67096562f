"""Serve marked lists of a store until killed; print the number served after each of them."""

import sys
import time
from pathlib import Path

from nearline.served import ServedLog
from nearline.served.rows import Served

log = ServedLog(Path(sys.argv[1]), 90.0, time.time)
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
