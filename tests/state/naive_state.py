"""A naive fold of the log with dicts and lists, and the same view of a real state."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from msgspec import Struct

from nearline.kernels import counted_events
from nearline.schema import Erased, Event, Item, ItemDeleted, Record
from nearline.state import State, StateConfig

NOW = 1_000.0
Log = list[tuple[int, Record]]


class View(Struct):
    """Everything that a state returns, by ID."""

    offset: int
    histories: dict[str, list[tuple[str, float, float]]]
    totals: dict[str, int]
    contexts: dict[tuple[str, str], dict[str, int]]
    trending: dict[str, float]
    entries: dict[str, Item]
    unavailable: set[str]
    categories: dict[str, set[str]]


def naive_view(log: Sequence[tuple[int, Record]], config: StateConfig) -> View:
    """Fold a log in the most obvious way."""
    events: dict[str, list[tuple[float, int, str, float]]] = defaultdict(list)
    counted: dict[str, list[tuple[float, int, str, float]]] = defaultdict(list)
    entries: dict[str, Item | None] = {}
    contexts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    limits = config.limits
    for offset, record in log:
        if isinstance(record, Event):
            weight = config.weight(record.event)
            events[record.user_id].append((record.timestamp, offset, record.item_id, weight))
            if not _counts(events[record.user_id], counted[record.user_id], limits):
                continue
            counted[record.user_id].append(events[record.user_id][-1])
            if weight > 0:
                for field, value in (record.context or {}).items():
                    text = json.dumps(value) if isinstance(value, bool) else str(value)
                    if not isinstance(value, float):
                        contexts[field, text][record.item_id] += 1
        elif isinstance(record, Item):
            entries[record.item_id] = record
        elif isinstance(record, ItemDeleted):
            entries[record.item_id] = None
    present = {name: item for name, item in entries.items() if item is not None}
    categories: dict[str, set[str]] = defaultdict(set)
    for name, item in present.items():
        for category in item.categories:
            categories[category].add(name)
    half_life, most = config.trending_half_life, config.history_length
    moments: dict[str, list[float]] = defaultdict(list)
    for rows in counted.values():
        for time, _, name, weight in holding(sorted(rows)):
            if weight > 0:
                moments[name].append(time)
    return View(
        offset=log[-1][0] + 1 if log else 0,
        histories={
            user: [(item, weight, t) for t, _, item, weight in sorted(rows)[-most:]]
            for user, rows in events.items()
        },
        totals={item: len(times) for item, times in moments.items()},
        contexts={pair: dict(counts) for pair, counts in contexts.items()},
        trending={
            item: math.fsum(0.5 ** ((NOW - time) / half_life) for time in times)
            for item, times in moments.items()
        },
        entries=present,
        unavailable={n for n, item in entries.items() if item is None or not item.available},
        categories=dict(categories),
    )


def _counts(
    events: list[tuple[float, int, str, float]],
    counted: list[tuple[float, int, str, float]],
    limits: counted_events.CountedLimits,
) -> bool:
    """Return whether the last event of a user counts, after those that do."""
    *earlier, (time, _, item, weight) = events
    return (
        len(earlier) < limits.events
        and sum(row[2] == item for row in counted) < limits.repeats
        and sum(abs(row[3]) for row in counted) + abs(weight) <= limits.weight
        and (limits.age == 0 or any(time - row[0] >= limits.age for row in earlier))
    )


def holding(rows: list[tuple[float, int, str, float]]) -> list[tuple[float, int, str, float]]:
    """Return the events (time, offset, item, weight), sorted, that no later opinion replaces."""
    kept = []
    for row in rows:
        same = [other for other in rows if other[2] == row[2]]
        against = any(
            one[3] < 0 and all(later[3] <= -one[3] for later in same[at + 1 :])
            for at, one in enumerate(same)
        )
        if row[3] == 0 or (row[3] < 0) == against:
            kept.append(row)
    return kept


def view_of(state: State) -> View:
    """Read a state through its public methods."""
    histories = {}
    for user in filter(None, state.users.table()):
        history = state.history(user)
        assert history is not None
        rows = (state.items.ids_of(history.items), history.weights.tolist(), history.times.tolist())
        histories[user] = list(zip(*rows, strict=True))
    items = state.items.table()
    totals = state.counters.totals().tolist()
    trending = state.counters.trending(len(items), NOW)
    scores = zip(state.items.ids_of(trending.items), trending.scores.tolist(), strict=True)
    entries = {}
    for index, name in enumerate(items):
        entry = state.catalogue.get(index)
        if entry is not None:
            entries[name] = entry
    contexts = state.contexts.copy()
    counts = [
        dict(zip(state.items.ids_of(names), numbers.tolist(), strict=True))
        for names, numbers in zip(
            np.split(contexts.items, contexts.indptr[1:-1]),
            np.split(contexts.counts, contexts.indptr[1:-1]),
            strict=True,
        )
    ]
    return View(
        offset=state.offset,
        histories=histories,
        totals={name: total for name, total in zip(items, totals, strict=True) if total},
        contexts=dict(zip(contexts.pairs, counts if contexts.pairs else [], strict=True)),
        trending={name: score for name, score in scores if score},
        entries=entries,
        unavailable={
            name for name, ok in zip(items, state.catalogue.available(), strict=True) if not ok
        },
        categories={
            category: set(state.items.ids_of(state.catalogue.members(category)))
            for category in state.catalogue.categories()
        },
    )


def assert_same(view: View, expected: View) -> None:
    """Assert equality; decayed sums may have a relative error of 1e-9."""
    assert view.trending.keys() == expected.trending.keys()
    for item, score in expected.trending.items():
        assert math.isclose(view.trending[item], score, rel_tol=1e-9), item
    view.trending = expected.trending
    assert view == expected


# Few events count, so that many are beyond the limits.
FEW = st.builds(
    counted_events.CountedLimits,
    st.integers(1, 9),
    st.integers(1, 3),
    weight=st.just(math.inf),
    age=st.just(0.0),
)
CONFIG = StateConfig(history_length=3, event_weights={"glance": 0.0}, trending_half_life=40.0)

_events = st.builds(
    Event,
    user_id=st.sampled_from(["ann", "bob", "çem"]),
    item_id=st.sampled_from("abcde"),
    # Few distinct times, so that there are ties and late events.
    timestamp=st.sampled_from([0.0, 1.0, 2.5, 7.0, 100.0, 900.0]),
    event=st.sampled_from(["view", "purchase", "dislike", "glance"]),
    context=st.sampled_from(
        [None, {}, {"land": "FR"}, {"land": "DE", "hour": 7}, {"hour": "7", "x": 0.5, "app": True}]
    ),
)
_items = st.builds(
    Item,
    item_id=st.sampled_from("abcdef"),
    timestamp=st.just(3.0),
    title=st.sampled_from(["", "Tea", "茶"]),
    categories=st.lists(st.sampled_from(["hot", "cold"]), max_size=3),
    attributes=st.sampled_from([{}, {"price": 2.5}, {"tags": ["x", "y"]}]),
    vectors=st.sampled_from([{}, {"v": [0.1, 1e-300]}, {"v": [1.0], "w": [2.0, 3.0, 4.0]}]),
    available=st.booleans(),
)
_deletions = st.builds(ItemDeleted, item_id=st.sampled_from("abcdef"), timestamp=st.just(4.0))
_records = st.one_of(_events, _events, _events, _items, _deletions, st.just(Erased()))


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Logs of up to 40 records, with gaps between some offsets."""
    records = draw(st.lists(_records, max_size=40))
    offset, log = 0, []
    for record in records:
        offset += draw(st.sampled_from([0, 0, 0, 2]))
        log.append((offset, record))
        offset += 1
    return log


def folded(log: Log, config: StateConfig = CONFIG) -> State:
    """A state with `log` applied in one batch."""
    state = State(config)
    state.apply(log)
    return state
