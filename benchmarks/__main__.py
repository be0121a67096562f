"""Run all benchmarks in sequence; this takes about two hours on two cores.

    python -m benchmarks [NAME ...]

Each benchmark runs in a process of its own, prints its table and writes ``results/<name>.json``.
The first run creates an environment for each peer library and downloads the data sets.
"""

import argparse
import subprocess
import sys

BENCHMARKS = (
    "accuracy_amazon",
    "cold_items",
    "contexts",
    "topn_movielens",
    "ratings",
    "ratings_agreement",
    "als",
    "item_cosine",
    "growth",
    "log_ingest",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    for name in parser.parse_args().names or BENCHMARKS:
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
