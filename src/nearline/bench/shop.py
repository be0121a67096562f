"""Synthetic shop of any size, as Parquet files and as trained stores.

Items are grouped in clusters of 100, and their popularity in a cluster is Zipf-distributed. Each
user has events in three clusters, so that the same users often interact with items of the same
cluster. Items without an event are given one, so that the catalogue has the requested size.
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nearline.bench.plan import Plan

CLUSTER = 100
HOMES = 3
EXPONENT = 0.8
BLOCK_USERS = 10_000
# Unix time of the first event: early enough that no event is in the future.
START = 1_735_689_600.0
STEP = 60.0
WORDS = 2_000


def write_events(path: Path, plan: Plan) -> int:
    """Write the events of the plan's shop to a Parquet file; return their number.

    Parameters
    ----------
    path : Path
        File to write, with columns ``user_id``, ``item_id`` and ``timestamp`` (Unix seconds).
    plan : Plan
        Size of the shop, and seed.

    Notes
    -----
    Events are written in blocks of `BLOCK_USERS` users. Apart from a block, memory holds one byte
    per item.
    """
    rng = np.random.default_rng(plan.seed)
    seen = np.zeros(plan.items, dtype=np.bool_)
    count = 0
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for first in range(0, plan.users, BLOCK_USERS):
            users = np.arange(first, min(first + BLOCK_USERS, plan.users))
            lengths = rng.poisson(plan.history - 1, len(users)) + 1
            users = np.repeat(users, lengths)
            items = _draw(rng, lengths, plan.items)
            seen[items] = True
            writer.write_table(_table(users, items, count))
            count += len(users)
        left = np.flatnonzero(~seen)
        writer.write_table(_table(left * 7_919 % plan.users, left, count))
    return count + len(left)


def write_items(path: Path, plan: Plan) -> None:
    """Write the catalogue of the plan's shop to a Parquet file.

    The title and the text of an item consist of a word for its cluster and random words.
    """
    rng = np.random.default_rng(plan.seed + 1)
    names, titles, texts = [], [], []
    for item in range(plan.items):
        cluster = item // CLUSTER
        words = rng.integers(WORDS, size=5).tolist()
        names.append(f"i{item}")
        titles.append(f"kind{cluster} word{words[0]} word{words[1]}")
        texts.append(" ".join(f"word{word}" for word in words[2:]) + f" sort{cluster}")
    pq.write_table(pa.table({"item_id": names, "title": titles, "text": texts}), path)


def store(plan: Plan, name: str, *, texts: bool = False) -> Path:
    """Return the folder of a new copy of the trained store of the plan's shop.

    The store, with its checkpoint, is created on the first call for a size. Model settings are
    not searched, since they do not affect response times.

    Parameters
    ----------
    plan : Plan
        Size of the shop, seed and scratch folder.
    name : str
        Name of the copy in the scratch folder; an existing folder is replaced.
    texts : bool
        Whether items have titles and texts.
    """
    size = f"{plan.users}-{plan.items}-{plan.history}-{plan.seed}{'-texts' if texts else ''}"
    made = plan.folder / f"shop-{size}"
    if not made.exists():
        _make(plan, made, texts=texts)
    fresh = plan.folder / name
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(made, fresh)
    return fresh


def _make(plan: Plan, made: Path, *, texts: bool) -> None:
    from nearline.config import Config
    from nearline.engine import Recommender

    plan.progress(0, 3, "making the shop")
    events, items = made.with_suffix(".parquet"), made.with_suffix(".items.parquet")
    write_events(events, plan)
    if texts:
        write_items(items, plan)
    plan.progress(1, 3, "making the shop")
    partial = made.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    config = Config(settings={"search": {"evaluations": 0}})
    with Recommender(config=config) as engine:
        engine.fit(events, items if texts else None, seed=plan.seed)
        engine.save(partial)
    plan.progress(2, 3, "making the shop")
    # Closing the store writes its checkpoint.
    Recommender(partial).close()
    partial.rename(made)
    plan.progress(3, 3, "making the shop")


SCHEMA = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.float64())]
)


def _draw(rng: np.random.Generator, lengths: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """Sample the items of all events, concatenated by user: int64 [sum of lengths].

    `lengths`, int64 [users], is the number of events of each user, and `items` the number of
    items in the shop.
    """
    clusters = -(-items // CLUSTER)
    homes = rng.integers(clusters, size=(len(lengths), HOMES))
    user = np.repeat(np.arange(len(lengths)), lengths)
    cluster = homes[user, rng.integers(HOMES, size=len(user))]
    mass = np.cumsum(np.arange(1, CLUSTER + 1) ** -EXPONENT)
    place = np.searchsorted(mass, rng.random(len(user)) * mass[-1])
    drawn: NDArray[np.int64] = np.minimum(cluster * CLUSTER + place, items - 1)
    return drawn


def _table(users: NDArray[np.int64], items: NDArray[np.int64], first: int) -> pa.Table:
    times = START + STEP * np.arange(first, first + len(users)) / 60.0
    columns = [[f"u{n}" for n in users.tolist()], [f"i{n}" for n in items.tolist()], times]
    return pa.table(columns, schema=SCHEMA)
