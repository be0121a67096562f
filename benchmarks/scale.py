"""Growth of time, memory and bytes written with the number of events, from 1 million to 50 million.

    python -m benchmarks.scale [--sizes 1 4] [--large] [--steps import train ...] [--folder DIR]

Runs the steps of ``nearline bench scale --events`` and writes the figures to the results. With
--folder, data and stores are kept there, so that single steps can be repeated.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.machine import write

from nearline.bench.size import MILLION, measure
from nearline.bench.size_steps import STEPS

SIZES, LARGE = (1.0, 4.0), (20.0, 50.0)


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=list(SIZES))
    parser.add_argument("--large", action="store_true", help="also 20 and 50 million events")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="keep data and stores here")
    asked = parser.parse_args()
    sizes = [*asked.sizes, *(LARGE if asked.large else ())]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        events = [round(size * MILLION) for size in sizes]
        for row in measure(events, asked.steps, asked.folder or Path(name)):
            print(json.dumps(row), flush=True)
            rows.append(row)
    print(write("scale", {"sizes": sizes, "steps": asked.steps}, rows))


if __name__ == "__main__":
    main()
