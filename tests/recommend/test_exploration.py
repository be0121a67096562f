"""Exploration: lists hold still within a window, probabilities are known, and places are kept."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.errors import InvalidInput
from nearline.schema import DAY, Answer, RecommendationRequest
from nearline.schema.exploration import check_explore
from nearline.served import Served
from nearline.served.outcome_counts import OutcomeCounts
from nearline.served.outcomes import (
    HALF_LIFE_DAYS,
    PRIOR_CLICKS,
    ItemOutcomes,
    outcomes_of,
    sampled_weights,
)
from nearline.server import create_app
from nearline.state import StateConfig

NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(30)]


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def interactions() -> pa.Table:
    rows = [(user, f"i{(n + step) % 20}") for n, user in enumerate(USERS) for step in range(4)]
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rec(clock: Clock) -> Iterator[nl.Recommender]:
    with nl.Recommender(clock=clock).fit(interactions(), seed=1) as engine:
        yield engine


def ask(rec: nl.Recommender, user: str, **options: Any) -> Answer:
    return rec.answer(RecommendationRequest(user_id=user, **options))


def ids(answer: Answer) -> list[str]:
    return [line.item_id for line in answer.items]


METHODS: list[dict[str, Any]] = [
    {"method": "epsilon", "rate": 0.5},
    {"method": "softmax", "temperature": 0.5},
    {"method": "softmax", "temperature": 0.5, "rate": 0.1},
    {"method": "thompson"},
    {"method": "lints"},
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_lists_hold_still_and_change_with_the_window(
    rec: nl.Recommender, clock: Clock, method: dict[str, Any]
) -> None:
    rec.put_scenario("try", k=5, explore=method | {"keep_top": 2}, track=True)
    plain = {user: ids(ask(rec, user, k=5)) for user in USERS}
    first = {user: ask(rec, user, scenario="try") for user in USERS}
    assert first == {user: ask(rec, user, scenario="try") for user in USERS}
    for user, answer in first.items():
        assert ids(answer)[:2] == plain[user][:2]
        assert answer.policy == method["method"]
        chances = [line.propensity for line in answer.items if line.tier == "personal"]
        assert chances[:2] == [1.0, 1.0]
        assert all(chance is not None and 0 < chance <= 1 for chance in chances)
    frame = rec.recommend_many(USERS, scenario="try")
    rows = list(zip(frame["user_id"].to_pylist(), frame["item_id"].to_pylist(), strict=True))
    assert rows == [(user, item) for user in USERS for item in ids(first[user])]
    stamp = rec.stamp
    clock.now += 3_600.0
    later = {user: ask(rec, user, scenario="try") for user in USERS}
    assert rec.stamp != stamp
    if method["method"] == "lints":  # one relation decides all of these lists
        assert any(one.parts for one in rec.served.entries() if isinstance(one, Served))
    elif method["method"] != "thompson":  # which draws from nothing yet
        assert any(ids(later[user]) != ids(first[user]) for user in USERS)
        assert any(line.explored for answer in first.values() for line in answer.items)
    kept = [one for one in rec.served.entries() if isinstance(one, Served)]
    assert kept[0].policy == method["method"]
    assert kept[0].propensities == tuple(
        1.0 if line.propensity is None else line.propensity for line in first["u0"].items
    )


def test_draws_have_the_stated_probabilities(rec: nl.Recommender, clock: Clock) -> None:
    explore = {"method": "epsilon", "rate": 0.4, "keep_top": 0, "candidates": 6}
    best = ids(ask(rec, "u1", k=1))[0]
    seen: Counter[str] = Counter()
    n, chances = 4_000, dict[str, float]()
    for _ in range(n):
        clock.now += 3_600.0
        line = ask(rec, "u1", k=1, explore=explore).items[0]
        seen[line.item_id] += 1
        chances[line.item_id] = line.propensity or 0.0
        assert line.explored == (line.item_id != best)
    assert sum(chances.values()) == pytest.approx(1.0)
    for item, chance in chances.items():
        error = 4 * np.sqrt(chance * (1 - chance) / n)
        assert abs(seen[item] / n - chance) < error


def test_new_items_get_their_share(rec: nl.Recommender, clock: Clock) -> None:
    for n in range(5):
        rec.put_item(f"new{n}", title=f"thing {n}", timestamp=NOW)
    rec.put_item("old", title="thing", timestamp=NOW - 1e8)
    explore = {"method": "epsilon", "rate": 0.0, "new": 0.2, "keep_top": 1, "candidates": 5}
    shown: Counter[str] = Counter()
    places = 0
    for _ in range(300):
        clock.now += 3_600.0
        answer = ask(rec, "u1", k=3, explore=explore)
        shown.update(ids(answer)[1:])
        places += 2
        assert not ids(answer)[0].startswith("new")
    new = sum(count for item, count in shown.items() if item.startswith("new"))
    assert abs(new / places - 0.2) < 0.06
    assert shown["old"] == 0
    assert len([item for item in shown if item.startswith("new")]) == 5


def test_the_best_of_new_items_are_tried(rec: nl.Recommender, clock: Clock) -> None:
    """A new item that nobody opens loses its share to one that was not shown yet."""
    for n in range(3):
        rec.put_item(f"new{n}", title=f"thing {n}", timestamp=NOW)
    slots = rec._current.open().state.items.slots
    shown, clicked = np.zeros(slots), np.zeros(slots)
    index = {name: rec._current.open().state.items.get(name) for name in ("new0", "new1")}
    shown[index["new0"]] = shown[index["new1"]] = 500.0
    clicked[index["new1"]] = 20.0
    rec._current.outcomes = ItemOutcomes(NOW, shown, clicked, 0.05)
    explore = {"method": "thompson", "new": 0.5, "keep_top": 0, "candidates": 5}
    tried: Counter[str] = Counter()
    for _ in range(300):
        clock.now += 3_600.0
        tried.update(ids(ask(rec, "u1", k=1, explore=explore)))
    # Opened in 0, 4 and 5 % of the showings; the last with the prior only.
    assert tried["new0"] < 0.1 * tried["new1"]
    assert tried["new1"] > 20
    assert tried["new2"] > 20


def test_thompson_follows_what_items_led_to(clock: Clock) -> None:
    weights = nl.Config(state=StateConfig(event_weights={"click": 0.0}))  # lists stay the same
    rec = nl.Recommender(clock=clock, config=weights).fit(interactions(), seed=1)
    explore = {"method": "thompson", "keep_top": 0, "candidates": 4}
    rec.put_scenario("try", k=4, explore=explore, track=True, repeats="include")
    user = "u1"
    worst = ids(ask(rec, user, scenario="try"))[-1]

    def places() -> int:
        count = 0
        for _ in range(100):
            clock.now += 3_600.0
            count += ids(ask(rec, user, scenario="try", track=False)).index(worst)
        return count

    before = places()
    for _ in range(60):  # only the last item of the list is opened, and it is always opened
        answer = ask(rec, user, scenario="try")
        clock.now += 10
        rec.observe(user, worst, "click", recommendation_id=answer.recommendation_id)
    rec.refresh_outcomes()
    clock.now += 3_600.0
    rec.refresh_outcomes()
    found = rec._current.outcomes
    assert found is not None
    assert found.shown.sum() > 0
    assert rec.stamp is not None
    assert rec.stamp.outcomes == found.at <= clock.now
    assert places() < before
    rec.close()


def counted(served: Sequence[Served], events: Sequence[nl.Event], at: float) -> OutcomeCounts:
    """Counts of some lists and events before a time."""
    unread = [list(served)]

    def entries(since: float | None) -> list[Served]:
        return unread.pop() if since is not None else []

    counts = OutcomeCounts(entries, lambda _: enumerate(events), lambda: len(events), {}, 30)
    counts.advance(at)
    return counts


def listed(name: str, time: float, **fields: Any) -> Served:
    """A list of the items a and b."""
    return Served(
        recommendation_id=name,
        user_id="u",
        timestamp=time,
        item_ids=("a", "b"),
        tiers=("personal", "personal"),
        model="m",
        offset=0,
        **fields,
    )


def clicked(name: str, item: str, time: float, kind: str = "click") -> nl.Event:
    return nl.Event(user_id="u", item_id=item, event=kind, timestamp=time, recommendation_id=name)


INDEX = {"a": 0, "b": 1}.get
AT = 1e6 * DAY


def test_outcomes_count_showings_and_clicks() -> None:
    lists = [listed("r", AT)]
    events = [
        clicked("r", "b", AT + 1),
        clicked("r", "a", AT + 20),
        clicked("r", "a", AT + 2, "cart"),
    ]
    found = outcomes_of(counted(lists, events, AT + 10), 3, INDEX, AT + 10)
    # The click-through of the positions is 0 and 2, relative to the average, and 1 a hundred times.
    assert found.shown.tolist() == pytest.approx([100 / 101, 102 / 101, 0.0])
    assert found.clicked.tolist() == [0.0, 1.0, 0.0]
    assert outcomes_of(counted(lists, events, AT), 3, INDEX, AT).shown.sum() == 0
    alpha, beta = found.of(np.array([0, 1, 2, 9], dtype=np.int32))
    assert alpha[1] - alpha[0] == pytest.approx(1.0)
    prior = PRIOR_CLICKS / found.rate
    shown = [100 / 101, 102 / 101, 0.0, 0.0]
    assert (alpha + beta).tolist() == pytest.approx([prior + one for one in shown])


def test_a_low_position_is_no_fault_of_an_item() -> None:
    lists = [listed(f"r{n}", AT) for n in range(200)]
    events = [
        clicked(f"r{n}", item, AT + 1)
        for n in range(200)
        for item, every in (("a", 2), ("b", 4))
        if n % every == 0
    ]
    found = outcomes_of(counted(lists, events, AT + 10), 2, INDEX, AT + 10)
    assert found.clicked.tolist() == [100.0, 50.0]
    # Click-through .375 on average: (100 / .375 + 100) / 300 for the first position.
    assert found.shown.tolist() == pytest.approx([200 * 11 / 9, 200 * 7 / 9])


def test_old_showings_count_less() -> None:
    lists = [listed("r", AT), listed("s", AT - HALF_LIFE_DAYS * DAY)]
    lists.append(listed("t", AT - 40 * DAY))  # no longer counts
    events = [clicked(name, "a", one.timestamp + 1) for name, one in zip("rst", lists, strict=True)]
    found = outcomes_of(counted(lists, events, AT + 10), 2, INDEX, AT + 10)
    assert found.clicked.tolist() == pytest.approx([1.5, 0.0])
    # 1.5 of 3 lines: (1.5 / .5 + 100) / 101.5 for the first position.
    assert found.shown.tolist() == pytest.approx([1.5 * 103 / 101.5, 1.5 * 100 / 101.5])


def test_linear_thompson_sampling_learns_which_relation_is_opened() -> None:
    parts = {"x": (1.0, 0.0), "y": (0.0, 0.5)}
    lists = [listed(f"r{n}", AT, parts=parts) for n in range(100)]
    events = [clicked(f"r{n}", "b", AT + 1) for n in range(100)]
    # 100 lists: the rate is (100 + 5) / (200 + 100), the prior's precision 4 * .65 / .35.
    counts = counted(lists, events, AT + 10)
    found = outcomes_of(counts, 2, INDEX, AT + 10, ("x", "y", "z"))
    assert found.linear is not None
    rate, prior = 0.35, 4 * 0.65 / 0.35
    assert found.rate == pytest.approx(rate)
    mean = [-100 * rate / (prior + 100), 100 * 0.5 * (1 - rate / 2) / (prior + 25), 0.0]
    assert found.linear.mean.tolist() == pytest.approx(mean)
    weights = sampled_weights(found, ("x", "y", "z"), 4_000, 1)
    assert weights.mean(axis=0) == pytest.approx(1 + np.array(mean) / rate, abs=0.05)
    for unknown in (None, found):  # other relations: as trained, give or take a half
        weights = sampled_weights(unknown, ("x", "q"), 4_000, 2)
        assert weights.mean(axis=0) == pytest.approx([1.0, 1.0], abs=0.05)
        assert weights.std(axis=0) == pytest.approx([0.5, 0.5], abs=0.05)


def test_parts_of_served_lines_sum_to_relative_scores(rec: nl.Recommender) -> None:
    rec.put_scenario("try", k=5, explore={"method": "lints"})
    answer = ask(rec, "u1", scenario="try")
    (served,) = (one for one in rec.served.entries() if isinstance(one, Served))
    assert set(served.parts) == set(rec.weights().trained)
    for at, line in enumerate(answer.items):
        if line.tier == "personal":
            total = sum(part[at] for part in served.parts.values())
            assert total == pytest.approx(line.score / answer.items[0].score, abs=1e-4)
    rec.put_scenario("try", k=5, explore={"method": "softmax"})
    ask(rec, "u1", scenario="try")
    assert [one.parts for one in rec.served.entries() if isinstance(one, Served)][1] == {}


@pytest.mark.parametrize(
    "value",
    [
        3,
        {"method": "none"},
        {"method": "lints", "keep_top": 0},
        {"rate": 1.5},
        {"rate": float("nan")},
        {"rate": "much"},
        {"keep_top": 1.5},
        {"keep_top": -1},
        {"window": 10},
        {"candidates": 1},
        {"new": 0.9},
        {"unknown": 1},
        {"rate": True},
    ],
)
def test_wrong_options_are_refused(rec: nl.Recommender, value: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        rec.recommend("u1", explore=value)
    assert error.value.field == "explore"
    with pytest.raises(InvalidInput):
        rec.put_scenario("s", explore=value)


def test_options_are_normalised_and_exclude_others(rec: nl.Recommender) -> None:
    assert check_explore({}) == {"method": "epsilon", "rate": 0.1}
    assert check_explore({"method": "softmax", "keep_top": "2"}) == {
        "method": "softmax",
        "keep_top": 2,
    }
    with pytest.raises(InvalidInput, match="cannot be combined"):
        rec.recommend("u1", explore={}, diversity=0.5)


def test_http_caches_scenarios_that_explore(clock: Clock) -> None:
    app = create_app(lambda: nl.Recommender(clock=clock).fit(interactions(), seed=1))
    with TestClient(app) as client:
        wait_until_ready(client.get)
        explore = {"method": "epsilon", "rate": 0.9, "keep_top": 0}
        assert client.put("/v1/scenarios/try", json={"k": 3, "explore": explore}).status_code == 200
        path, cache = "/v1/users/u1/recommendations", app.api.state["context"].cache
        first = client.get(path, params={"scenario": "try"}).json()
        assert client.get(path, params={"scenario": "try"}).json() == first
        assert cache.hits[0] == 1
        assert all("propensity" in line for line in first["items"] if line["tier"] == "personal")
        clock.now += 3_600.0
        assert client.get(path, params={"scenario": "try"}).json() != first
        assert cache.hits[0] == 1
        own = client.get(path, params={"explore": '{"method": "softmax"}'})
        assert own.json()["policy"] == "softmax"
        same = client.get(path, params={"explore": ["method:softmax"]})
        assert same.json() == own.json()
        assert cache.hits[0] == 1
