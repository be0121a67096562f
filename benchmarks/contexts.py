"""Accuracy for first baskets of new customers, with and without the country as context.

Online Retail is replayed in the order of time. Before a customer's first basket is added, three
lists of ten items are computed: popular items, the list for a request without context (trending,
then popular items), and the list for a request with the customer's country. The items of the basket
are relevant. Customers in the United Kingdom, nine of ten, are reported separately from all others.

    python -m benchmarks.contexts [FILE]

FILE is the data set as published by UCI, as CSV or Parquet; the default is the one of
`nearline.data.load_dataset`. The smoothing is the same as in the server.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from benchmarks.machine import write
from numpy.typing import NDArray

from nearline.data import Histories, load_dataset
from nearline.data.public.base import cache_folder, local_folder
from nearline.data.sources import read_table
from nearline.evaluation.bootstrap import mean_intervals, paired_differences
from nearline.evaluation.metrics import hit_rate, judge, ndcg, recall
from nearline.recommend.fill import fallback
from nearline.schema import Event
from nearline.state import State

K, SEED, NAME, HOME = 10, 0, "online-retail", "United Kingdom"
LISTS = ("popular", "no context", "country")
METRICS = {"ndcg@10": ndcg, "recall@10": recall, "hit_rate@10": hit_rate}

Values = dict[str, NDArray[np.float64]]


def file_of(given: Path | None) -> Path:
    """Return the file of the data set; download it if necessary."""
    if given is None:
        load_dataset(NAME)
    kept = local_folder(NAME, given) or cache_folder(None) / NAME
    return next(iter(sorted(kept.glob("*.[cp]*")))) if kept.is_dir() else kept


def countries(file: Path) -> dict[str, str]:
    """Return the country of each customer, the first one if there are several."""
    table = read_table(file, pick=lambda _: ("CustomerID", "Country"))
    users = pc.replace_substring_regex(table["CustomerID"].cast("string"), r"\.0$", "")
    pairs = zip(users.to_pylist(), table["Country"].to_pylist(), strict=True)
    return dict(reversed([pair for pair in pairs if pair[0]]))


def baskets(file: Path) -> list[list[Event]]:
    """Return baskets (the purchases of one customer at one time) in the order of time."""
    home = countries(file)
    table = load_dataset(NAME, path=file).interactions.sort_by("timestamp")
    columns = (table[name].to_pylist() for name in ("user_id", "item_id", "timestamp"))
    found: dict[tuple[float, str], list[Event]] = {}
    for user, item, time in zip(*columns, strict=True):
        event = Event(
            user_id=user,
            item_id=item,
            timestamp=time,
            event="purchase",
            context={"country": home[user]},
        )
        found.setdefault((time, user), []).append(event)
    return list(found.values())


def asked(state: State, event: Event) -> list[list[int]]:
    """Return the three lists for a new customer at the time of an event."""
    allowed = state.catalogue.available()
    lists = [state.counters.popular(K).items.tolist()]
    for context in (None, event.context):
        found = fallback(K, state, now=event.timestamp, allowed=allowed, context=context)
        lists.append(list(dict.fromkeys(found.items.tolist()))[:K])
    return [items + [-1] * (K - len(items)) for items in lists]


def replayed(stream: list[list[Event]]) -> tuple[list[list[list[int]]], list[list[int]], list[str]]:
    """Return lists, basket and country of each customer except the first."""
    state = State()
    lists, truth, where = [], [], []
    for basket in stream:
        first = basket[0]
        new = first.user_id not in state.users and state.offset
        if new:
            lists.append(asked(state, first))
        state.apply(list(enumerate(basket, state.offset)))
        if new:
            truth.append(state.items.indices_of(event.item_id for event in basket).tolist())
            where.append(str((first.context or {})["country"]))
    return lists, truth, where


def compared(lists: list[list[list[int]]], truth: list[list[int]]) -> dict[str, Any]:
    """Return means, and differences between the country list and the others, with intervals."""
    values: dict[str, Values] = {}
    for at, name in enumerate(LISTS):
        items = np.array([some[at] for some in lists], dtype=np.int32)
        hits = judge(items, Histories.from_rows(truth), K)
        values[name] = {metric: measure(hits) for metric, measure in METRICS.items()}
    row: dict[str, Any] = {"customers": len(truth), "lists": {}, "country above": {}}
    for name, mine in values.items():
        bounds = mean_intervals(mine, np.random.default_rng(SEED))
        row["lists"][name] = {
            metric: [float(mine[metric].mean()), *bounds[metric]] for metric in METRICS
        }
    for name in LISTS[:2]:
        rng = np.random.default_rng(SEED)
        above = paired_differences(values["country"], values[name], rng)
        row["country above"][name] = {metric: list(above[metric]) for metric in METRICS}
    return row


def main() -> None:
    """Replay, compare, print and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path)
    lists, truth, where = replayed(baskets(file_of(parser.parse_args().file)))
    rows = []
    for name, of_home in (("all", None), (HOME, True), ("elsewhere", False)):
        some = [at for at, land in enumerate(where) if of_home in (None, land == HOME)]
        row = compared([lists[at] for at in some], [truth[at] for at in some])
        rows.append({"customers of": name, **row})
        print(f"{name}: {len(some)} customers")
        for which, found in row["lists"].items():
            print(f"  {which:12}", {metric: round(v[0], 4) for metric, v in found.items()})
        for which, found in row["country above"].items():
            print(f"  above {which}:", {m: [round(x, 4) for x in v] for m, v in found.items()})
    write("contexts", {"k": K, "seed": SEED}, rows)


if __name__ == "__main__":
    main()
