"""Cost of the served log: reads of cached lists with `track` against reads without.

    python -m benchmarks.tracked_reads [--reads 400000]

Calls the application in this process, without a network, so that the difference is as large as it
can be. Both kinds alternate in blocks; the median of the ratios is printed. Measured are CPU
seconds of all threads. Those of a block with `track` include writing what it served, which a server
does four times a second in the background: the thread that writes competes with the reads.
"""

import argparse
import asyncio
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from benchmarks.in_process import ask
from benchmarks.machine import spread, write

import nearline as nl
from nearline.server import create_app

USERS, BLOCKS = 100, 40
# CPU time of the process, less noisy on a busy machine than the time of day.
clock = time.process_time


def interactions() -> pa.Table:
    """Return interactions of `USERS` users."""
    rows = [(f"u{n}", f"i{(n + step) % 50}") for n in range(USERS) for step in range(8)]
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


async def measure(folder: Path, reads: int) -> dict[str, Any]:
    """Return the speed of tracked reads relative to others: median and spread over the blocks."""
    app: Any = create_app(lambda: nl.Recommender(folder), log_stream=io.StringIO())

    async def seconds(query: bytes) -> float:
        start = clock()
        for number in range(reads // BLOCKS):
            await ask(app, f"u{number % USERS}", query)
        app.api.state["context"].host.engine.served.flush()
        return clock() - start

    async with app.api.lifespan():
        while app.api.state["context"].host.current is None:
            await asyncio.sleep(0.05)
        queries, ratios = [b"k=10", b"k=10&track=true"], []
        for block in range(BLOCKS + 1):
            took = {query: await seconds(query) for query in queries}
            if block:  # the first fills the cache
                ratios.append(took[b"k=10"] / took[b"k=10&track=true"])
            queries.reverse()  # what a block leaves behind is not always at the cost of one kind
    return spread(ratios)


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=400_000)
    reads = parser.parse_args().reads
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "shop"
        nl.Recommender(folder).fit(interactions()).close()
        ratio = asyncio.run(measure(folder, reads))
    print(f"tracked / plain: {ratio['median']:.3f} (target: at least 0.9)")
    found = {"figure": "tracked / plain", "found": ratio, "target": 0.9}
    write("tracked_reads", {"reads": reads}, [found])


if __name__ == "__main__":
    main()
