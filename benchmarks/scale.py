"""Growth of time, memory and bytes written with the number of events, from 1 million to 50 million.

    python -m benchmarks.scale [--sizes 1 4] [--large] [--steps import train ...] [--folder DIR]

Runs the steps of ``nearline bench scale --events`` and writes the figures to the results, after
each step. With --folder, data and stores are kept there, so that single steps can be repeated; with
--add, the figures of other steps and sizes stay in the results.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, write

from nearline.bench.size import MILLION, VALUES, measure, ratios
from nearline.bench.size_steps import STEPS

SIZES, LARGE = (1.0, 4.0), (20.0, 50.0)


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=list(SIZES))
    parser.add_argument("--large", action="store_true", help="also 20 and 50 million events")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="keep data and stores here")
    parser.add_argument("--add", action="store_true", help="keep other rows of the results")
    parser.add_argument("--no-warm", action="store_true", help="all kernels are compiled")
    parser.add_argument("--name", default="scale", help="name of the results")
    asked = parser.parse_args()
    sizes = [round(size * MILLION) for size in [*asked.sizes, *(LARGE if asked.large else ())]]
    before = RESULTS / f"{asked.name}.json"
    rows = json.loads(before.read_text())["rows"] if asked.add and before.exists() else []
    commit = _commit()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        for row in measure(sizes, asked.steps, folder, warm=not asked.no_warm):
            row["commit"] = commit
            print(json.dumps(row), flush=True)
            rows = [*(one for one in rows if _key(one) != _key(row)), row]
            save(asked.name, rows)
    for ratio in ratios(rows):
        print(
            f"{ratio['step']}, {ratio['from']:,} to {ratio['events']:,} events, "
            f"{VALUES[ratio['value']].name}{' per event' if ratio['per_event'] else ''}: "
            f"{ratio['ratio']:g} x"
        )
    print(save(asked.name, rows))


def save(name: str, rows: list[dict[str, Any]]) -> Path:
    """Write the rows and their ratios to the results."""
    order = list(STEPS)
    rows = sorted(rows, key=lambda row: (row["events"], order.index(row["step"])))
    sizes = sorted({row["events"] for row in rows})
    return write(name, {"events": sizes}, rows, ratios=ratios(rows))


def _key(row: dict[str, Any]) -> tuple[str, int]:
    return row["step"], row["events"]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
