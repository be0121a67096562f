"""Run `nearline compare --large` on five data sets: classical, neural and large models, blend.

    python -m benchmarks.large [movielens-100k online-retail amazon-beauty ...]

The command runs once per data set (with `--search` and `--users` as given). Figures are written to
``results/large.json``, pictures to ``docs/pictures/``, and the tables of docs/results.md are
generated from all data sets measured so far.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, write, write_page

SETS = {
    "movielens-100k": "MovieLens-100K",
    "online-retail": "Online Retail",
    "amazon-beauty": "Amazon Beauty",
    "amazon-toys": "Amazon Toys",
    "amazon-sports": "Amazon Sports",
}
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def measured(name: str, search: int, users: int, seed: int) -> dict[str, Any]:
    """Run the command on one data set."""
    picture = PICTURES / f"large-{name}.svg"
    command = [str(Path(sys.executable).with_name("nearline")), "compare", name, "--large"]
    command += ["--search", str(search), "--users", str(users), "--seed", str(seed)]
    command += ["--json", "--picture", str(picture)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield one data set as Markdown."""
    name, metric = found["data"], found["metric"]
    asked = list(found["models"][0]["also"])
    command = f"nearline compare {name} --large --search {found['search']} --users {found['users']}"
    yield f"### {SETS[name]}"
    yield ""
    yield f"`{command}`, seed {found['seed']}; {found['models'][0]['n_users']:,} test users."
    yield ""
    heads = [metric, "recall@10", *asked]
    heads += ["tuning s", "fit s", "answer ms", "p99 ms", "MB", "peak MB"]
    yield f"| model | {' | '.join(heads)} |"
    yield "|---|" + "---|" * len(heads)
    for row in found["models"]:
        cells = [interval(row, metric), f"{row['means']['recall@10']:.4f}"]
        cells += [interval(row["also"][one], metric) for one in asked]
        cells += [f"{row['tuning_s']:.0f}", f"{row['fit']['cpu_s']:.1f}"]
        cells += [f"{row['answer'][key] * 1e3:.2f}" for key in ("median_s", "p99_s")]
        sizes = row["array_bytes"], row["fit"]["peak_bytes"] or 0
        cells += [f"{size / 1e6:.1f}" for size in sizes]
        yield f"| {row['model']} | {' | '.join(cells)} |"
    yield ""
    for model, why in found["left_out"].items():
        yield f"{model} was skipped: {why}"
        yield ""
    yield f"![{SETS[name]}](pictures/large-{name}.svg)"
    yield ""


def interval(row: dict[str, Any], metric: str) -> str:
    """Format a mean with its interval."""
    low, high = row["intervals"][metric]
    return f"{row['means'][metric]:.4f} [{low:.4f}, {high:.4f}]"


def main() -> None:
    """Measure the given data sets; the results of other data sets are kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(SETS), choices=[*SETS, list(SETS)])
    parser.add_argument("--search", type=int, default=10)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = RESULTS / "large.json"
    for name in options.names:
        found = measured(name, options.search, options.users, options.seed)
        # Read after the measurement, because another run may have written in the meantime.
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
        rows = [row for row in rows if row["data"] != name] + [found]
        rows.sort(key=lambda row: list(SETS).index(row["data"]))
        write("large", {}, rows)
        write_page("results.md", "large", [line for row in rows for line in lines(row)][:-1])
        print("\n".join(lines(found)), flush=True)


if __name__ == "__main__":
    main()
