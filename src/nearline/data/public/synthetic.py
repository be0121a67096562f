"""Synthetic data of any size: users with tastes, sessions, new items and informative texts.

Every user has several tastes, and every item belongs to one. In a session with one of the user's
tastes, items are chosen by popularity, and an item is often followed by its companion item. Models
of co-occurrence, order, text and popularity can therefore all learn from the data.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.data.public.base import PublicDataset
from nearline.errors import InvalidInput
from nearline.schema import DAY, Item

TERMS = "Invented data; use it as you like."
START = 1_735_689_600.0  # 2025-01-01, UTC
DAYS = 90

# One line per taste: its label, then the words of its texts.
_TASTES = tuple(
    line.split()
    for line in """
    garden trowel seed soil hose planter shears compost watering lawn rake hedge bulb
    kitchen pan knife whisk oven spatula recipe baking bowl grater kettle apron tray
    running shoe marathon sprint insole trail sock pace stride jersey hydration track lace
    music guitar string vinyl amplifier piano drum melody chord microphone record tuner violin
    camping tent lantern sleeping hiking stove compass backpack rope canvas firewood flask trail
    painting brush canvas easel acrylic watercolour palette sketch pigment charcoal ink frame glaze
    baby cradle rattle blanket bottle stroller pacifier diaper crib bib teether nursery lullaby
    cycling helmet pedal saddle chain wheel tyre brake pump spoke handlebar jersey bell
    reading novel bookmark shelf lamp paperback poetry chapter library mystery atlas cushion author
    fishing rod reel bait lure hook tackle float net waders trout line creel
    office desk stapler folder pen notebook chair printer binder calendar lamp envelope cable
    pets leash kennel litter aquarium collar treat feeder brush hamster perch toy bowl
    """.strip().splitlines()
)
_PLAIN = (
    *("small", "large", "classic", "modern", "light", "sturdy", "red", "blue", "green"),
    *("black", "white", "wooden", "steel", "soft", "travel", "set"),
)
_EVENTS = ("view", "cart", "purchase")
_EVENT_SHARES = (0.86, 0.09, 0.05)
_WORDS_PER_ITEM = 8
_MEAN_SESSION = 4.0
_FOLLOW = 0.35  # probability that the next item is the companion of the last
_OLD_STOCK = 0.7  # share of items that exist from the first day on


@dataclass(frozen=True)
class _Goods:
    """Items sorted by taste and then by arrival.

    Attributes
    ----------
    bounds : int64 [tastes + 1]
        Items of taste t are ``bounds[t]`` to ``bounds[t + 1] - 1``.
    arrival : float64 [n]
        Seconds from the start to the arrival of each item.
    cumulative : float64 [n]
        Cumulative popularity within each taste.
    companion : int64 [n]
        Item of the same taste that often follows each item.
    """

    bounds: NDArray[np.int64]
    arrival: NDArray[np.float64]
    cumulative: NDArray[np.float64]
    companion: NDArray[np.int64]


def synthetic_shop(users: int, items: int, events: int, *, seed: int) -> PublicDataset:
    """Generate a shop with events of 90 days from 2025-01-01; equal arguments give equal data.

    The popularity of items has a Zipf-like distribution. Three items in ten arrive during the 90
    days. A text has eight words, most of them of the item's taste. Events are views, carts and
    purchases; the value of a purchase is its price.

    Parameters
    ----------
    users, items, events : int
        Sizes; at least 24 items. Each user has at least one session if there are enough events.
    seed : int
        Seed of the random generator.

    Notes
    -----
    The time is O(events log events); a million events take a few seconds.
    """
    if users < 1 or items < 2 * len(_TASTES) or events < 1:
        raise InvalidInput(
            f"users={users}, items={items}, events={events}: at least 1 user, "
            f"{2 * len(_TASTES)} items and 1 event are needed"
        )
    rng = np.random.default_rng(seed)
    goods = _make_goods(items, rng)
    session_of, user_of, start_of, taste_of = _make_sessions(users, events, rng)
    first = np.concatenate(([True], session_of[1:] != session_of[:-1]))
    gaps = np.where(first, 0.0, rng.exponential(60.0, events))
    walked = np.cumsum(gaps)
    # Seconds since the first event of the session.
    walked -= np.repeat(walked[first], np.diff(np.append(np.flatnonzero(first), events)))
    times = start_of[session_of] + walked
    chosen = _choose_items(goods, taste_of[session_of], times, first, rng)
    prices = np.round(rng.lognormal(2.5, 0.8, items), 2)
    kinds = rng.choice(len(_EVENTS), size=events, p=_EVENT_SHARES).astype(np.int32)
    bought = kinds == _EVENTS.index("purchase")
    order = np.argsort(times, kind="stable")
    # Item numbers are shuffled, so that they reveal neither taste nor age.
    numbers = rng.permutation(items)
    table = pa.table(
        {
            "user_id": _names("u", user_of[session_of][order], users),
            "item_id": _names("i", numbers[chosen][order], items),
            "timestamp": pa.array(START + times[order]),
            "event": _lookup(kinds[order], _EVENTS),
            "value": pa.array(prices[chosen][order], mask=~bought[order]),
            "session_id": _names("s", session_of[order], len(start_of)),
        }
    )
    return PublicDataset("synthetic", table, _make_items(goods, numbers, prices, rng), TERMS)


def _make_goods(items: int, rng: np.random.Generator) -> _Goods:
    tastes = np.sort(np.arange(items) % len(_TASTES))
    bounds = np.searchsorted(tastes, np.arange(len(_TASTES) + 1))
    late = rng.random(items) >= _OLD_STOCK
    late[bounds[:-1]] = False  # each taste has an item from the first day on
    arrival = np.where(late, rng.uniform(0, DAYS * DAY, items), 0.0)
    arrival = arrival[np.lexsort((arrival, tastes))]
    popularity = 1.0 / (1.0 + rng.permutation(items)) ** 0.8
    total = np.cumsum(popularity)
    before = np.concatenate(([0.0], total))[bounds[:-1]]
    sizes = np.diff(bounds)
    within = rng.random(items)
    companion = bounds[:-1][tastes] + (within * sizes[tastes]).astype(np.int64)
    return _Goods(bounds, arrival, total - before[tastes], companion)


def _make_sessions(
    users: int, events: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the session of each event, and the user, start and taste of each session."""
    # Twice the expected number of sessions; the last one is extended if events are missing, and
    # surplus events are removed.
    lengths = rng.geometric(1 / _MEAN_SESSION, size=2 * int(events / _MEAN_SESSION) + 100)
    lengths[-1] += max(0, events - lengths.sum())
    session_of = np.repeat(np.arange(len(lengths)), lengths)[:events]
    sessions = int(session_of[-1]) + 1
    activity = rng.pareto(1.5, users) + 0.2
    drawn = rng.choice(users, size=sessions, p=activity / activity.sum())
    everyone = rng.permutation(users)[:sessions]
    drawn[: len(everyone)] = everyone
    joined = rng.uniform(0, 0.6 * DAYS * DAY, users)
    start = rng.uniform(joined[drawn], DAYS * DAY - DAY / 4)
    mix = np.cumsum(rng.dirichlet(np.full(len(_TASTES), 0.25), users), axis=1)
    draws = rng.random(sessions)
    taste = np.minimum((mix[drawn] < draws[:, None]).sum(axis=1), len(_TASTES) - 1)
    return session_of, drawn, start, taste


def _choose_items(
    goods: _Goods,
    tastes: NDArray[np.int64],
    times: NDArray[np.float64],
    first: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the item of each event: an arrived item of its taste by popularity, or a companion."""
    chosen = np.empty(len(times), dtype=np.int64)
    draws = rng.random(len(times))
    for taste in range(len(_TASTES)):
        low, high = goods.bounds[taste], goods.bounds[taste + 1]
        here = np.flatnonzero(tastes == taste)
        arrived = np.searchsorted(goods.arrival[low:high], times[here], side="right")
        mass = goods.cumulative[low:high]
        place = np.searchsorted(mass, draws[here] * mass[arrived - 1], side="right")
        chosen[here] = low + np.minimum(place, arrived - 1)
    follow = (rng.random(len(times)) < _FOLLOW) & ~first
    follow[1:] &= ~follow[:-1]  # a companion is not followed by its own companion
    rows = np.flatnonzero(follow)
    next_items = goods.companion[chosen[rows - 1]]
    there = goods.arrival[next_items] <= times[rows]
    chosen[rows[there]] = next_items[there]
    return chosen


def _make_items(
    goods: _Goods,
    numbers: NDArray[np.int64],
    prices: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[Item]:
    count = len(numbers)
    tastes = np.repeat(np.arange(len(_TASTES)), np.diff(goods.bounds))
    own = rng.integers(1, len(_TASTES[0]), size=(count, _WORDS_PER_ITEM))
    plain = rng.integers(0, len(_PLAIN), size=(count, _WORDS_PER_ITEM))
    is_own = rng.random((count, _WORDS_PER_ITEM)) < 0.7
    items = []
    for row in np.argsort(numbers).tolist():
        label, *_ = words = _TASTES[tastes[row]]
        text = [
            words[mine] if really else _PLAIN[other]
            for mine, other, really in zip(own[row], plain[row], is_own[row], strict=True)
        ]
        items.append(
            Item(
                item_id=f"i{numbers[row]}",
                timestamp=START + float(goods.arrival[row]),
                title=" ".join(text[:3]),
                text=" ".join(text[3:]),
                categories=[label],
                attributes={"price": float(prices[row])},
            )
        )
    return items


def _names(letter: str, numbers: NDArray[np.int64], count: int) -> Any:
    return _lookup(numbers.astype(np.int32), [f"{letter}{number}" for number in range(count)])


def _lookup(codes: NDArray[np.int32], names: Any) -> Any:
    return pa.DictionaryArray.from_arrays(codes, pa.array(names)).cast(pa.string())
