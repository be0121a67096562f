"""Run the benchmarks of all regimes, or of some.

    python -m benchmarks.regimes [sets ...] --data FOLDER

FOLDER contains the data sets, one folder each. Results are written to ``results/regimes_*.json``.
"""

import argparse
from pathlib import Path

from benchmarks.regimes import publication_order, sessions, sets, time_split

REGIMES = {
    "sets": sets.run,
    "sessions": sessions.run,
    "time_split": time_split.run,
    "publication_order": publication_order.run,
}


def main() -> None:
    """Run the selected regimes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(REGIMES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="FOLDER")
    parser.add_argument("--only", nargs="*", help="variants to run; other rows are kept")
    options = parser.parse_args()
    for name in options.names or REGIMES:
        REGIMES[name](options.data, options.only)


if __name__ == "__main__":
    main()
