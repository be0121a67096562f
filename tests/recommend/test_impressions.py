"""Frequency caps and rotation: exact, kept over restarts, and gone after an erasure."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.errors import InvalidInput, Overloaded
from nearline.ingest import impressions as impressions_module
from nearline.recommend.frequency import rotation_factors
from nearline.recommend.recent_lists import RecentLists
from nearline.schema import DAY, ItemsShown, RecommendationRequest
from nearline.state import State, StateConfig, load_checkpoint, save_checkpoint, showings
from nearline.state.showings import SHOWING, Showings

# The suite draws fewer; NEARLINE_LISTS=10000 is the full size.
LISTS = int(os.environ.get("NEARLINE_LISTS", "300"))
NOW = 1.7e9
QUICK = nl.Config(settings={"search": {"evaluations": 0}})


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def table(n_users: int = 12, n_items: int = 60) -> pa.Table:
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(n_users), 8)
    return pa.table(
        {
            "user_id": [f"u{n}" for n in users],
            "item_id": [f"i{n}" for n in rng.integers(0, n_items, len(users))],
            "timestamp": NOW - 1e6 + np.arange(len(users)) * 100.0,
        }
    )


KNOWN: list[str] = sorted(set(table()["item_id"].to_pylist()))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rec(clock: Clock) -> Iterator[nl.Recommender]:
    with nl.Recommender(config=QUICK, clock=clock) as engine:
        yield engine.fit(table())


def ids(lines: list[nl.Recommendation]) -> list[str]:
    return [line.item_id for line in lines]


def test_a_cap_by_hand(rec: nl.Recommender, clock: Clock) -> None:
    cap = {"times": 2, "days": 1}
    first = rec.recommend("u1", k=3, max_shown=cap)
    assert rec.add_impressions(first.answer.recommendation_id) == 3
    assert ids(rec.recommend("u1", k=3, max_shown=cap)) == ids(first)
    top = ids(first)[0]
    rec.add_impressions("any", [top], "u1")
    assert top not in ids(rec.recommend("u1", k=100, max_shown=cap))
    assert ids(rec.recommend("u1", k=3)) == ids(first)  # only requests with a cap
    assert ids(rec.recommend("u2", k=3, max_shown=cap)) == ids(rec.recommend("u2", k=3))
    clock.now += DAY - 1
    assert top not in ids(rec.recommend("u1", k=100, max_shown=cap))
    clock.now += 2
    assert ids(rec.recommend("u1", k=3, max_shown=cap)) == ids(first)


def test_no_list_is_over_the_cap(clock: Clock, tmp_path: Path) -> None:
    """Every answer counts as seen; users, tiers, restarts and time are mixed."""
    rng = np.random.default_rng(1)
    config = nl.Config(settings={"search": {"evaluations": 0}}, imply_impressions=True)
    shown: dict[tuple[str, str], list[float]] = {}
    rec = nl.Recommender(tmp_path / "shop", config=config, clock=clock).fit(table())
    try:
        for n in range(LISTS):
            user = f"u{rng.integers(0, 15)}"  # some have no history
            lines = rec.recommend(user, k=10, max_shown={"times": 3, "days": 7}, rotation=0.2)
            for item in ids(lines):
                times = shown.setdefault((user, item), [])
                assert sum(at > clock.now - 7 * DAY for at in times) < 3
                times.append(clock.now)
            clock.now += rng.exponential(600.0)
            if n % max(LISTS // 5, 1) == 7:
                rec.close()
                rec = nl.Recommender(tmp_path / "shop", config=config, clock=clock)
    finally:
        rec.close()


def hidden(rec: nl.Recommender, user: str, shown: list[tuple[str, float]], cap: Any) -> set[str]:
    """Return what a user was shown too often: the oracle."""
    since = rec.now() - cap["days"] * DAY
    items = [item for item, at in shown if at > since]
    return {item for item in items if items.count(item) >= cap["times"]}


@settings(deadline=None, max_examples=20)
@given(
    seen=st.lists(st.tuples(st.integers(0, 12), st.floats(0, 40 * DAY)), max_size=60),
    times=st.integers(1, 4),
    days=st.sampled_from([0.5, 7, 30]),
)
def test_a_capped_list_is_the_list_without_hidden_items(
    seen: list[tuple[int, float]], times: int, days: float
) -> None:
    clock = Clock()
    with nl.Recommender(config=QUICK, clock=clock) as rec:
        rec.add(table())
        shown: list[tuple[str, float]] = []
        for number, before in sorted(seen, key=lambda one: -one[1]):
            clock.now = NOW - before
            rec.add_impressions("r", [KNOWN[number]], "u3")
            shown.append((KNOWN[number], clock.now))
        clock.now = NOW
        cap = {"times": times, "days": days}
        out = hidden(rec, "u3", shown, cap)
        whole = [item for item in ids(rec.recommend("u3", k=1000)) if item not in out]
        options: dict[str, Any] = {"k": 9, "max_shown": cap}
        assert ids(rec.recommend("u3", **options)) == whole[:9]
        frame = rec.recommend_many(["u1", "u3", "nobody"], **options).to_pylist()
        assert [row["item_id"] for row in frame if row["user_id"] == "u3"] == whole[:9]
        plain = ids(rec.recommend("u1", k=9))
        assert [row["item_id"] for row in frame if row["user_id"] == "u1"] == plain


def test_rotation_moves_what_was_shown_back(rec: nl.Recommender, clock: Clock) -> None:
    plain = rec.recommend("u1", k=5)
    assert plain[0].tier == "personal"
    rec.add_impressions("r", [plain[0].item_id], "u1")
    rotated = ids(rec.recommend("u1", k=5, rotation=0.9))
    assert rotated[0] == plain[1].item_id
    assert ids(rec.recommend("u1", k=5, rotation=0.0)) == ids(plain)
    frame = rec.recommend_many(["u2", "u1"], k=5, rotation=0.9).to_pylist()
    assert [row["item_id"] for row in frame if row["user_id"] == "u1"] == rotated
    clock.now += 29 * DAY
    assert ids(rec.recommend("u1", k=5, rotation=0.9)) == ids(plain)


def test_rotation_factors_by_hand() -> None:
    rows = np.array([(3, NOW), (3, NOW - DAY), (1, NOW - 2 * DAY)], dtype=SHOWING)
    found = rotation_factors(np.array([1, 2, 3, 9], dtype=np.int32), rows, 0.5, NOW)
    np.testing.assert_allclose(found, [0.5**0.25, 1.0, 0.5**1.5, 1.0])


def test_pages_do_not_repeat_under_rotation_and_impressions(rec: nl.Recommender) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(6):
        page = rec.recommend("u1", k=5, cursor=cursor, rotation=0.5, max_shown={"times": 1})
        rec.add_impressions(page.answer.recommendation_id)
        seen += ids(page)
        cursor = page.next
    assert len(set(seen)) == len(seen) == 30


def test_impressions_survive_a_restart_and_a_checkpoint(clock: Clock, tmp_path: Path) -> None:
    cap = {"times": 1}
    with nl.Recommender(tmp_path / "shop", config=QUICK, clock=clock) as rec:
        rec.fit(table())
        top = ids(rec.recommend("u1", k=2))
        rec.add_impressions("r", top, "u1")
        expected = ids(rec.recommend("u1", k=20, max_shown=cap))
        rec.save(tmp_path / "copy")
    assert not set(top) & set(expected)
    for name in ("shop", "copy"):
        with nl.Recommender(tmp_path / name, config=QUICK, clock=clock) as rec:
            assert ids(rec.recommend("u1", k=20, max_shown=cap)) == expected


def test_erasing_a_user_erases_the_impressions(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "shop"
    with nl.Recommender(path, config=QUICK, clock=clock) as rec:
        rec.fit(table())
        answer = rec.answer(RecommendationRequest(user_id="uüq-secret", k=4))
        rec.add_impressions(answer.recommendation_id)
        rec._impressions.flush()
        rec.add_impressions(answer.recommendation_id)  # one is logged, one is not
        assert rec.forget("uüq-secret").result() == 1
        log = rec._current.open().log
        assert not [one for _, one in log.read() if isinstance(one, ItemsShown)]
        assert len(rec._view().showings_of("uüq-secret")) == 0
        with pytest.raises(InvalidInput, match="not among the last lists"):
            rec.add_impressions(answer.recommendation_id)
    for file in path.rglob("*"):
        assert not file.is_file() or "uüq-secret".encode() not in file.read_bytes()


CHILD = """
import sys, time
import nearline as nl
from nearline.ingest.impressions import FLUSH_SECONDS
assert FLUSH_SECONDS < 1
with nl.Recommender(sys.argv[1]) as rec:
    rec.put_item("x", text="x")
    rec.put_item("y", text="y")
    rec.add_impressions("r", ["x"], "u")
    print("first", flush=True)
    while rec.offset == 2:  # until the thread appends them
        time.sleep(0.01)
    rec.add_impressions("r", ["y"], "u")
    print("second", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_loses_less_than_a_second(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "shop")], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"first\n"
    assert child.stdout.readline() == b"second\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with nl.Recommender(tmp_path / "shop") as rec:
        items = rec._view().showings_of("u")["item"].tolist()
        assert items[:1] == [0]
        assert "x" not in ids(rec.recommend("u", max_shown={"times": 1}))


def test_what_is_not_known_is_refused(rec: nl.Recommender) -> None:
    answer = rec.answer(RecommendationRequest(user_id="u1", k=3))
    session = rec.answer(RecommendationRequest(history=("i1",), k=3))
    wrong: list[tuple[tuple[Any, ...], str]] = [
        (("unknown",), "recommendation_id"),
        (("",), "recommendation_id"),
        ((7,), "recommendation_id"),
        (("unknown", ["i1"]), "user_id"),
        ((session.recommendation_id,), "user_id"),
        ((answer.recommendation_id, None, "u2"), "user_id"),
        ((answer.recommendation_id, "i1"), "item_ids"),
        ((answer.recommendation_id, [3]), "item_ids"),
        ((answer.recommendation_id, ["i1"] * 1001), "item_ids"),
        ((answer.recommendation_id, ["i1"], ""), "user_id"),
    ]
    for arguments, field in wrong:
        with pytest.raises(InvalidInput) as error:
            rec.add_impressions(*arguments)
        assert error.value.field == field, arguments
    assert len(rec._view().showings_of("u1")) == 0
    assert rec.add_impressions(session.recommendation_id, user_id="u1") == 3
    assert rec.add_impressions("any", [], "u1") == 0
    assert rec.add_impressions("any", ["nothing", "i1", "i1"], "u1") == 1


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"days": 7},
        {"times": 0},
        {"times": 1.5},
        {"times": 101},
        {"times": float("nan")},
        {"times": True},
        {"times": 3, "days": 0},
        {"times": 3, "days": 31},
        {"times": 3, "days": float("inf")},
        {"times": 3, "hours": 2},
        3,
        "3",
    ],
)
def test_wrong_caps_are_refused(rec: nl.Recommender, value: Any) -> None:
    if value == {}:
        assert rec.answer(RecommendationRequest(user_id="u1")).items
    with pytest.raises(InvalidInput) as error:
        rec.recommend("u1", max_shown=value)
    assert error.value.field == "max_shown"


def test_waiting_impressions_are_bounded(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impressions_module, "MAX_WAITING", 3)
    monkeypatch.setattr(impressions_module, "FLUSH_SECONDS", 100.0)
    rec.add_impressions("r", KNOWN[:2], "u1")
    with pytest.raises(Overloaded):
        rec.add_impressions("r", KNOWN[2:4], "u2")
    rec._impressions.flush()
    assert rec.add_impressions("r", KNOWN[2:4], "u2") == 2


def shown(user: str, number: int, item: str, *times: float) -> ItemsShown:
    times = times or (1.0,)
    return ItemsShown(
        user_id=user,
        timestamp=max(times),
        number=number,
        item_ids=[item] * len(times),
        times=list(times),
    )


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showings, "MAX_PER_USER", 4)
    monkeypatch.setattr(showings, "MAX_SHOWINGS", 8)
    state = State(item_ids=["i", "j"])
    state.apply([(0, shown("a", 1, "i", *range(10)))])
    assert state.showings.of("a")["time"].tolist() == [6, 7, 8, 9]
    state.apply([(1, shown("b", 2, "i", *range(4))), (2, shown("c", 3, "j", 1.0))])
    assert (len(state.showings.of("a")), len(state.showings)) == (0, 5)
    state.apply([(3, shown("b", 4, "i", 100 * DAY))])
    assert state.showings.of("b")["time"].tolist() == [100 * DAY]
    state.apply([(4, shown("d", 5, "unknown"))])
    assert (len(state.showings), state.showings.number) == (2, 5)
    lists = RecentLists()
    for n in range(30_000):
        lists.add(f"r{n}", "u", ["i"])
    assert lists.get("r29999") is not None
    assert lists.get("r0") is None
    lists.forget("u")
    assert lists.get("r29999") is None


def test_checkpoints_have_the_showings(tmp_path: Path) -> None:
    state = State(item_ids=["i", "j"])
    state.apply([(0, shown("a", 1, "i", 1.0, 2.0)), (1, shown("b", 2, "j"))])
    save_checkpoint(state, tmp_path / "c", erasures=0)
    found = load_checkpoint(tmp_path / "c", StateConfig(), erasures=0, end=2)
    assert found is not None
    for user in "ab":
        np.testing.assert_array_equal(found.showings.of(user), state.showings.of(user))
    assert (len(found.showings), found.showings.number) == (3, 2)


def test_readers_see_each_showing_once(rec: nl.Recommender) -> None:
    """While a block is logged, its showings are in the buffer or in the state, never in both."""
    seen: set[int] = set()
    original: Callable[..., None] = Showings.apply

    def watched(self: Showings, record: ItemsShown) -> None:
        seen.add(len(rec._view().showings_of("u1")))
        original(self, record)
        seen.add(len(rec._view().showings_of("u1")))

    rec.add_impressions("r", KNOWN[:2], "u1")
    rec.add_impressions("r", KNOWN[:1], "u2")
    Showings.apply = watched  # type: ignore[method-assign]
    try:
        rec._impressions.flush()
    finally:
        Showings.apply = original  # type: ignore[method-assign]
    assert seen == {2}
    assert len(rec._view().showings_of("u1")) == 2
