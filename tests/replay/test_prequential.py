import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from nearline.data import read_interactions, synthetic_shop
from nearline.errors import InvalidInput
from nearline.models.item_graph.config import ItemGraphConfig, Search
from nearline.replay import (
    POLICIES,
    ReplayOutcome,
    Stream,
    choose_settings,
    make_stream,
    replay,
    summarise,
)
from nearline.replay.prequential import real_time
from nearline.state import StateConfig

SETTINGS = ItemGraphConfig()

# (user, item, time); a day has 100 seconds.
WARM_UP = [
    *(("a", "x", 0), ("a", "y", 1), ("b", "x", 2), ("b", "y", 3)),
    *(("e", "z", 4), ("f", "z", 5), ("g", "z", 6)),
]
FIRST_DAY = [
    *(("c", "x", 110), ("c", "y", 111)),
    *(("d", "p", 112), ("d", "q", 113), ("h", "p", 114), ("h", "q", 115)),
]
SECOND_DAY = [("i", "p", 210), ("i", "q", 211), ("c", "z", 212), ("c", "z", 213)]


def by_hand() -> Stream:
    users, items, times = zip(*WARM_UP, *FIRST_DAY, *SECOND_DAY, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    return make_stream(read_interactions(table), [], StateConfig().weight)


def test_ranks_of_a_small_stream_equal_values_computed_by_hand() -> None:
    found = replay(by_hand(), len(WARM_UP), SETTINGS, day=100.0, rng=np.random.default_rng(0))
    assert found.policies == (
        *("online", "fold-in", "nightly", "online, trained once", "fold-in, trained once"),
    )
    assert found.ranks.tolist() == [
        # Nobody knows c. z leads with three events; y's two are newer than those of x.
        [3, 3, 3, 3, 3],
        # x leads to y. Last night's list of c is z, y, x, and x is done.
        [1, 1, 2, 1, 1],
        # Items that nobody has seen.
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        # h is new: x, y and z have three events, p and q one, and p came first. Not last night.
        [4, 4, 0, 4, 4],
        # d went from p to q today. Who waits for the night has q after x, y and z.
        [1, 4, 0, 1, 4],
        # The next day all have heard of p and q, two events each, those of q newer.
        [5, 5, 5, 5, 5],
        # Last night's model leads from p to q, the first one does not.
        [1, 1, 4, 1, 4],
        # c has seen x and y. Of p, q and z, three events each, z's are the oldest; not last night.
        [3, 3, 1, 3, 3],
    ]
    # c:z a second time is no news, and is not evaluated.
    assert found.positions.tolist() == list(range(7, 16))
    assert (found.n_candidates, found.n_learned, found.retrainings) == (9, 10, 1)
    assert found.known.tolist() == [False] * 8 + [True]
    assert np.flatnonzero(found.first).tolist() == [0, 2, 4, 6, 8]  # c, d, h, i, and c again

    report = summarise(found, np.random.default_rng(0), windows=3)
    assert report.means["ndcg"] == pytest.approx(
        {
            "online": (1 / 2 + 1 + 1 / math.log2(5) + 1 + 1 / math.log2(6) + 1 + 1 / 2) / 9,
            "fold-in": (1 / 2 + 1 + 2 / math.log2(5) + 1 / math.log2(6) + 1 + 1 / 2) / 9,
            "nightly": (1 / 2 + 1 / math.log2(3) + 1 / math.log2(6) + 1 / math.log2(5) + 1) / 9,
            "online, trained once": (4 + 1 / math.log2(5) + 1 / math.log2(6)) / 9,
            "fold-in, trained once": (2 + 3 / math.log2(5) + 1 / math.log2(6)) / 9,
        }
    )
    assert report.means["hit_rate"]["nightly"] == pytest.approx(5 / 9)
    gain = report.differences["ndcg"]["fold-in"]
    assert gain.mean == pytest.approx((1 - 1 / math.log2(5)) / 9)
    assert gain.low <= gain.mean <= gain.high
    assert [window["n_evaluated"] for window in report.windows] == [3, 3, 3]
    assert report.windows[0]["ndcg"]["online"] == pytest.approx((1 / 2 + 1) / 3)
    columns = ("users", "events", "n_evaluated")
    assert [tuple(group[name] for name in columns) for group in report.groups] == [
        ("known last night", "first of the day", 1),
        ("newcomers", "first of the day", 4),
        ("newcomers", "later", 4),
    ]
    assert report.groups[2]["ndcg"]["online"] == pytest.approx(3 / 4)  # places 1, 0, 1, 1


def test_with_a_single_user_the_intervals_have_no_width() -> None:
    ranks = np.array([[1, 0], [3, 1], [0, 0]])
    zeros = np.zeros(3, dtype=np.int64)
    found = ReplayOutcome(
        ("online", "fold-in"),
        5,
        np.arange(3),
        zeros,
        np.zeros(3),
        ranks,
        zeros > 0,
        zeros > 0,
        3,
        3,
        0,
    )
    report = summarise(found, np.random.default_rng(0))
    assert report.means["ndcg"] == pytest.approx({"online": 0.5, "fold-in": 1 / 3})
    assert report.intervals["ndcg"]["online"] == pytest.approx((0.5, 0.5))
    assert report.differences["ndcg"]["fold-in"] == pytest.approx((1 / 6, 1 / 6, 1 / 6))
    assert report.differences["hit_rate"]["fold-in"] == pytest.approx((1 / 3, 1 / 3, 1 / 3))


@pytest.fixture(scope="module")
def shop() -> Stream:
    found = synthetic_shop(users=140, items=40, events=2_000, seed=0)
    return make_stream(found.interactions, found.items, StateConfig().weight)


def test_a_sample_has_the_same_ranks_as_the_full_replay(shop: Stream) -> None:
    start, day = 1_000, 5 * 86_400.0
    whole = replay(shop, start, SETTINGS, day=day, rng=np.random.default_rng(0))
    some = replay(shop, start, SETTINGS, day=day, sample=60, rng=np.random.default_rng(0))
    assert len(whole.positions) == whole.n_candidates == some.n_candidates
    assert len(some.positions) == 60
    # What lies between two evaluated events is learned at once, and makes no difference.
    rows = np.searchsorted(whole.positions, some.positions)
    assert np.array_equal(whole.positions[rows], some.positions)
    assert np.array_equal(whole.ranks[rows], some.ranks)
    again = replay(shop, start, SETTINGS, day=day, sample=60, rng=np.random.default_rng(0))
    assert np.array_equal(again.positions, some.positions)
    assert np.array_equal(again.ranks, some.ranks)
    assert again.retrainings > 1


def test_with_retraining_before_each_event_the_policies_agree(shop: Stream) -> None:
    """Training on all up to now, and learning each event on the way, are the same."""
    config = ItemGraphConfig(counts=10_000)
    policies = POLICIES[:3]
    found = replay(shop, 1_900, config, policies=policies, day=1e-3, rng=np.random.default_rng(0))
    assert found.retrainings > 70
    assert np.array_equal(found.ranks[:, 0], found.ranks[:, 1])
    assert np.array_equal(found.ranks[:, 0], found.ranks[:, 2])


def test_settings_come_from_the_warm_up_alone() -> None:
    shop = synthetic_shop(users=300, items=40, events=3_000, seed=0)
    start = ItemGraphConfig(search=Search(evaluations=40))
    chosen = [
        choose_settings(make_stream(table, shop.items, StateConfig().weight), 1_800, settings=start)
        for table in (shop.interactions, shop.interactions.sort_by("timestamp").slice(0, 1_800))
    ]
    assert chosen[0] == chosen[1] != start


def test_real_time_is_kept_and_never_caught_up() -> None:
    readings: Iterator[float] = iter([10.0, 10.0, 13.0, 30.0])
    waited: list[float] = []
    pace = real_time(1_000.0, 60.0, clock=lambda: next(readings), wait=waited.append)
    for when in (1_060.0, 1_300.0, 1_300.0):
        pace(when)
    # A minute is a second; five minutes are over at 15; at 30 it is late.
    assert waited == [1.0, 2.0]


@pytest.mark.parametrize(
    ("start", "options", "words"),
    [
        (0, {}, "warm-up has 0 of 17 events"),
        (17, {}, "warm-up has 17 of 17 events"),
        (16, {}, "none of the 1 events after the warm-up is new"),
        (7, {"k": 0}, "k is 0"),
        (7, {"day": 0.0}, "day is 0.0"),
    ],
)
def test_invalid_arguments_are_rejected(start: int, options: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        replay(by_hand(), start, SETTINGS, rng=np.random.default_rng(0), **options)  # type: ignore[arg-type]


def test_speed_is_above_zero() -> None:
    with pytest.raises(InvalidInput, match="speed is 0"):
        real_time(0.0, 0.0, wait=lambda _: None)
