"""Cost of sealing: speed of a sealed store, as a share of that of a plain one.

    python -m benchmarks.sealing --repeats 7 --write

*Writes*: single events and lists of 100 are appended to a plain and to a sealed log, which are both
then read from the beginning (*replay*). *Import*: `Recommender.add`, which `nearline import` calls,
stores a table in a new store; opening and closing the store is included, starting Python is not.
*Reads*: lists and similar items from two stores with the same events that are open in this process,
computed by the recommender, and lists that the application has cached. Similar items are also
measured with `least_people` of 20 on both sides, since a sealed store has this value by default.

A plain and a sealed store take turns, in reads after each read or (cached ones) after 50, and each
begins in turn. A repetition gives ratios of the times of the wall clock and of the processor (of
all threads); the table has their median, the smallest and the largest. On a busy machine, compare
those of the processor. Limits: 0.85 for writes, 0.6 for imports, 0.97 for reads.
"""

import argparse
import asyncio
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from benchmarks import machine
from benchmarks.in_process import ask
from benchmarks.log_ingest import in_lists, make_events

import nearline as nl
from nearline import sealing
from nearline.log import SQLiteLog
from nearline.schema import Event
from nearline.server import create_app

KEY_VARIABLE = "NEARLINE_BENCHMARK_KEY"
SOURCE = f"env:{KEY_VARIABLE}"
LIMITS = {"single": 0.85, "lists of 100": 0.85, "import": 0.6}
READ_LIMIT = 0.97
# Users whose lists are read, and reads of one turn.
READERS, READS, CACHED_READS, TOGETHER = 500, 500, 5_000, 50
LEAST_PEOPLE = 20
Ask = Callable[[nl.Recommender, str, str], None]


class Seconds(NamedTuple):
    """Time that a piece of work took."""

    wall: float
    processor: float


class Pair(NamedTuple):
    """Times of the same work with a plain and with a sealed store."""

    plain: Seconds
    sealed: Seconds


class Clock:
    """Sum of the times of all blocks inside `running`."""

    def __init__(self) -> None:
        self.taken = Seconds(0.0, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure a block."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.taken = Seconds(
            self.taken.wall + time.perf_counter() - wall,
            self.taken.processor + time.process_time() - processor,
        )


def config(*, sealed: bool, **more: Any) -> nl.Config:
    """Return the configuration of a store."""
    return nl.Config(seal=SOURCE if sealed else None, **more)


def appended(sealed: bool, folder: Path, events: list[Event], size: int) -> Seconds:
    """Return the times of appending events to a new log in lists of one size."""
    place = folder / str(sealed)
    place.mkdir(parents=True)
    if sealed:
        sealing.make_keys(place, SOURCE)
    lists, clock = in_lists(events, size), Clock()
    with SQLiteLog(place / "log.db") as log, clock.running():
        for batch in lists:
            log.append(batch).result()
    return clock.taken


def replayed(sealed: bool, folder: Path) -> Seconds:
    """Return the times of reading a log from its beginning."""
    clock = Clock()
    with SQLiteLog(folder / str(sealed) / "log.db") as log, clock.running():
        for _ in log.read():
            pass
    return clock.taken


def table_of(count: int) -> pa.Table:
    """Return events of a twentieth as many users, some of whom are much more active than others."""
    users = count // 20
    spots = [(n * 7919) % users for n in range(count)]
    return pa.table(
        {
            "user_id": [f"user-{spot * spot // users}" for spot in spots],
            "item_id": [f"item-{n * 104_729 % 5_000}" for n in range(count)],
            "timestamp": [1.6e9 + n for n in range(count)],
        }
    )


def imported(sealed: bool, folder: Path, table: pa.Table) -> Seconds:
    """Return the times of importing a table into a new store."""
    clock, place = Clock(), folder / str(sealed)
    with clock.running(), nl.Recommender(place, config=config(sealed=sealed, online=False)) as rec:
        rec.add(table)
        if rec.offset != table.num_rows:
            raise RuntimeError(f"{rec.offset} of {table.num_rows} events were stored")
    return clock.taken


def in_turns(work: Callable[..., Seconds], turn: int, *given: Any) -> Pair:
    """Call `work(sealed, *given)` for both; which comes first depends on the turn."""
    first = bool(turn % 2)
    found = {kind: work(kind, *given) for kind in (first, not first)}
    return Pair(found[False], found[True])


def writes(events: list[Event], table: pa.Table, repeats: int) -> dict[str, list[Pair]]:
    """Measure appends, replay and imports."""
    found: dict[str, list[Pair]] = {}
    few = events[: len(events) // 10]
    for turn in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            work: dict[str, tuple[Any, ...]] = {
                "single": (appended, folder / "single", few, 1),
                "lists of 100": (appended, folder / "lists", events, 100),
                "replay": (replayed, folder / "lists"),
                "import": (imported, folder / "store", table),
            }
            for kind, (do, *given) in work.items():
                found.setdefault(kind, []).append(in_turns(do, turn, *given))
    return found


def reads(table: pa.Table, repeats: int) -> dict[str, list[Pair]]:
    """Measure computed lists, similar items and cached lists."""
    found: dict[str, list[Pair]] = {}
    users = table["user_id"].unique().to_pylist()[:READERS]
    items = table["item_id"].unique().to_pylist()[:READERS]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folders = {kind: Path(name) / str(kind) for kind in (False, True)}
        for kind, folder in folders.items():
            with nl.Recommender(folder, config=config(sealed=kind, online=False)) as rec:
                rec.fit(table)
        settings: dict[str, dict[str, Any]] = {
            "": {},
            ", least_people 20 on both sides": {"least_people": LEAST_PEOPLE},
        }
        for label, more in settings.items():
            recs = {
                kind: stack.enter_context(
                    nl.Recommender(folder, config=config(sealed=kind, **more))
                )
                for kind, folder in folders.items()
            }
            kinds: list[tuple[str, Ask]] = [(f"similar items{label}", similar)]
            if not more:
                kinds.append(("computed lists", listed))
            for kind_of_read, ask_one in kinds:
                for turn in range(-1, repeats):  # the first one compiles and warms up
                    pair = read(recs, ask_one, items, users)
                    if turn >= 0:
                        found.setdefault(kind_of_read, []).append(pair)
            stack.close()
        found["cached lists"] = asyncio.run(cached(folders, users, repeats))
    return found


def similar(rec: nl.Recommender, item: str, _user: str) -> None:
    """Ask for similar items."""
    rec.similar(item, k=10)


def listed(rec: nl.Recommender, _item: str, user: str) -> None:
    """Ask for a list."""
    rec.recommend(user, k=10)


def read(
    recs: dict[bool, nl.Recommender], ask_one: Ask, items: list[str], users: list[str]
) -> Pair:
    """Return the times of the reads of a turn; the stores alternate from one read to the next."""
    clocks = {kind: Clock() for kind in recs}
    for number in range(READS):
        for kind in (bool(number % 2), not number % 2):
            with clocks[kind].running():
                ask_one(recs[kind], items[number % len(items)], users[number % len(users)])
    return Pair(clocks[False].taken, clocks[True].taken)


async def cached(folders: dict[bool, Path], users: list[str], repeats: int) -> list[Pair]:
    """Measure reads of cached lists from two applications in this process, without a network."""
    found: list[Pair] = []

    def app_of(kind: bool) -> Any:
        settings = config(sealed=kind)
        return create_app(
            lambda: nl.Recommender(folders[kind], config=settings), log_stream=io.StringIO()
        )

    apps = {kind: app_of(kind) for kind in folders}
    async with apps[False].api.lifespan(), apps[True].api.lifespan():
        for app in apps.values():
            while app.api.state["context"].host.current is None:
                await asyncio.sleep(0.05)
        for turn in range(-1, repeats):  # the first one fills the caches
            clocks = {kind: Clock() for kind in apps}
            for first in range(0, CACHED_READS, TOGETHER):
                for kind in (bool(first // TOGETHER % 2), not first // TOGETHER % 2):
                    with clocks[kind].running():
                        for number in range(first, first + TOGETHER):
                            await ask(apps[kind], users[number % len(users)])
            if turn >= 0:
                found.append(Pair(clocks[False].taken, clocks[True].taken))
    return found


def rows_of(measured: dict[str, list[Pair]]) -> list[dict[str, Any]]:
    """Return the ratios of each kind of work, and print them."""
    rows = []
    for name, pairs in measured.items():
        row: dict[str, Any] = {"name": name, "limit": LIMITS.get(name)}
        if "lists" in name and name not in LIMITS:
            row["limit"] = READ_LIMIT
        for part in ("wall", "processor"):
            ratios = [getattr(one.plain, part) / getattr(one.sealed, part) for one in pairs]
            row[part] = machine.spread(ratios)
        rows.append(row)
        wall, processor = row["wall"], row["processor"]
        print(
            f"{name:45} {wall['median']:.2f} ({wall['min']:.2f}-{wall['max']:.2f})   processor "
            f"{processor['median']:.2f} ({processor['min']:.2f}-{processor['max']:.2f})",
            flush=True,
        )
    return rows


def main() -> None:
    """Print the ratios and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=100_000, help="events of lists and replay")
    parser.add_argument("--imported", type=int, default=400_000, help="events of the import")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write results/sealing.json")
    given = parser.parse_args()
    machine.end_on_signals()
    os.environ.setdefault(KEY_VARIABLE, "00" * 32)
    table = table_of(given.imported)
    measured = writes(make_events(given.events), table, given.repeats)
    measured |= reads(table_of(given.events), 3 * given.repeats)
    rows = rows_of(measured)
    if given.write:
        settings = {"events": given.events, "imported": given.imported, "repeats": given.repeats}
        machine.write("sealing", settings, rows)


if __name__ == "__main__":
    main()
