"""Weights of relations that follow the events: within bounds, in the log, exact explanations."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cli.running import run, run_json
from tests.engine.shop import catalogue, shop

import nearline as nl
from nearline.models.hedge import (
    ADAPTED,
    FIRST,
    LEVELS,
    SHARE,
    SHARPNESS,
    HedgedFactors,
    learned,
    smooth_gain,
)
from nearline.schema import RecommendationRequest
from nearline.schema.histories import Histories
from nearline.schema.segments import (
    KINDS,
    SEGMENTS,
    factors_by_hours,
    factors_of_kind,
    hours_of,
    kinds_of,
)

NOW = 2_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def naive_loss(parts: Any, factors: list[float]) -> float:
    """The log-loss of the first item: its score and the others' as shares of the largest."""
    scores = [sum(p * f for p, f in zip(row, factors, strict=True)) for row in parts.tolist()]
    largest = max(scores) or 1.0
    odds = [math.exp(SHARPNESS * score / largest) for score in scores]
    return -math.log(odds[0] / sum(odds))


numbers = st.integers(0, 4)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=5), max_size=8))
def test_experts_lose_as_defined_and_factors_stay_within_bounds(
    events: list[list[tuple[int, int]]],
) -> None:
    hedge = HedgedFactors(["a", "b"], {})
    assert hedge.factors.tolist() == [1.0, 1.0]
    # At the begin, all factors are 1, and the scores whole numbers and quarters: exact.
    for event in events:
        parts = np.array(event, dtype=np.float64)
        fresh = HedgedFactors(["a", "b"], {})
        expected = [[naive_loss(parts, [level, 1.0]) for level in LEVELS.tolist()]]
        expected += [[naive_loss(parts, [1.0, level]) for level in LEVELS.tolist()]]
        np.testing.assert_allclose(fresh.losses(parts), expected)
        hedge.learn(parts)
        hedge.redistribute(SHARE, hedge.prior)
        np.testing.assert_allclose(hedge.table.sum(axis=1), 1.0)
        assert all(0.25 <= factor <= 4.0 for factor in hedge.factors)
    again = HedgedFactors(["a", "b"], hedge.weights)
    assert again.factors == pytest.approx(hedge.factors, rel=1e-4)


def test_a_segment_has_the_weights_of_all_until_it_differs() -> None:
    rng = np.random.default_rng(1)

    def event(right: int) -> Any:
        parts = rng.random((30, 2))
        parts[0, right] += 0.4
        return parts

    samples = [("known 00-06", event(0)) for _ in range(300)]
    samples += [("new 00-06", event(1)) for _ in range(300)]
    rng.shuffle(samples)
    samples.append(("session 06-12", event(0)))
    body = learned({}, ["a", "b"], samples)
    found = {name: one["factors"] for name, one in body["segments"].items()}
    assert found["known 00-06"]["a"] > 1.5 * found["known 00-06"]["b"]
    assert found["new 00-06"]["b"] > 1.5 * found["new 00-06"]["a"]
    assert found["session 06-12"]["a"] == pytest.approx(body["factors"]["a"], rel=0.2)
    again = learned(body, ["a", "b"], [])
    assert again["factors"] == pytest.approx(body["factors"], rel=1e-4)
    by_hours = factors_by_hours(body["factors"], found)
    assert len(by_hours) == 4
    names = ("a", "b")
    assert factors_of_kind(by_hours[0], "new", names) == found["new 00-06"]
    assert factors_of_kind(by_hours[2], "new", names) == body["factors"]


def test_kinds_of_users() -> None:
    times = [0.0, 10_000.0, 10_100.0, *range(0, 50_000, 10_000), 0.0]
    histories = Histories(
        np.array([0, 0, 2, 3, 8, 9]),
        np.zeros(9, dtype=np.int32),
        np.ones(9, dtype=np.float32),
        np.array(times),
    )
    assert [KINDS[kind] for kind in kinds_of(histories)] == ["new", "new", "new", "known", "new"]
    session = Histories.from_rows([[1, 2], [1, 2, 3, 4, 5, 6]])
    assert [KINDS[kind] for kind in kinds_of(session)] == ["session", "session"]
    assert [hours_of(hour * 3_600.0) for hour in (0, 5.9, 6, 23.9, 24)] == [0, 0, 1, 3, 0]


def test_the_weight_of_what_is_right_rises_and_follows_a_change() -> None:
    rng = np.random.default_rng(1)

    def events(right: int) -> Any:
        found = []
        for _ in range(300):
            parts = rng.random((30, 2))
            parts[0, right] += 0.4
            found.append(("known 00-06", parts))
        return found

    body = learned({}, ["good", "bad"], events(0))
    assert body["factors"]["good"] > 1.5 * body["factors"]["bad"]
    body = learned(body, ["good", "bad"], events(1))
    assert body["factors"]["bad"] > 1.5 * body["factors"]["good"]


def test_smooth_gain_is_the_gain_of_the_rank() -> None:
    parts = np.array([[3.0, 0.0], [0.0, 2.0], [0.0, 4.0], [0.0, 5.0]])
    for factors, rank in (([1.0, 1.0], 3), ([2.0, 1.0], 1), ([1.0, 2.0], 4)):
        found = smooth_gain(parts, np.array(factors))
        assert found == pytest.approx(1.0 / math.log2(1 + rank), abs=0.04)
    # Equal scores count a half.
    tied = np.array([[1.0], [1.0], [0.0]])
    assert smooth_gain(tied, np.ones(1)) == pytest.approx(1.0 / math.log2(2.5), rel=1e-6)
    assert smooth_gain(0 * tied, np.ones(1)) == 0.0


def test_weights_that_predict_better_but_rank_worse_do_not_act() -> None:
    """Nineteen of twenty items are hopeless; the log-loss of these prefers the second relation."""
    top = np.array([[1.0, 0.0], *([[0.5, 0.25]] * 9)])
    hopeless = np.array([[0.05, 0.02], *([[1.0, 0.0]] * 9)])
    samples = [("known 00-06", top if n % 20 == 0 else hopeless) for n in range(800)]
    table = HedgedFactors(["a", "b"], learned({}, ["a", "b"], samples)["experts"])
    assert table.factors[1] > 2.0 * table.factors[0]
    assert smooth_gain(top, table.factors) < 0.5 * smooth_gain(top, np.ones(2))
    body = learned({}, ["a", "b"], samples)
    assert body["experts"][ADAPTED] < FIRST / 10
    assert all(abs(factor - 1.0) < 0.02 for factor in body["factors"].values())


def test_a_segment_that_rests_follows_all() -> None:
    good = np.array([[2.0, 1.0], *([[1.0, 2.0]] * 9)])
    names = ["a", "b"]
    body = learned({}, names, [("new 00-06", good[:, ::-1].copy())] * 100)
    body = learned(body, names, [("known 06-12", good)] * 600)
    experts = {"all": body["experts"]}
    experts |= {name: one["experts"] for name, one in body["segments"].items()}
    every, rested = (HedgedFactors(names, experts[name]) for name in ("all", "new 00-06"))
    assert every.factors[0] > 2.0 * every.factors[1]
    assert rested.factors == pytest.approx(every.factors, rel=0.02)


def test_factors_are_in_the_log_and_explanations_stay_exact(tmp_path: Path) -> None:
    clock = Clock()
    config = nl.Config(adapt=True)
    with nl.Recommender(tmp_path / "shop", config=config, clock=clock) as rec:
        rec.fit(shop(), catalogue())
        before = rec.answer(RecommendationRequest(user_id="shoe0", exclude_seen=False))
        for n in range(12):
            for step in range(4):
                clock.now += 1.0
                rec.observe(f"new{n}", f"tea-{(n + step) % 4}", timestamp=clock.now)
        assert rec.weights().factors == dict.fromkeys(rec.weights().trained, 1.0)
        assert rec.adapt_weights()
        found = rec.weights()
        assert found.factors.keys() == found.trained.keys()
        assert any(abs(factor - 1.0) > 0.02 for factor in found.factors.values())
        assert [time for time, _ in found.history] == [clock.now]
        answer = rec.answer(RecommendationRequest(user_id="shoe0", exclude_seen=False))
        assert answer.items != before.items
        for line in answer.items[:3]:
            why = rec.explain("shoe0", line.item_id)
            assert sum(part.amount for part in why.parts) == pytest.approx(line.score, rel=1e-5)
        assert set(found.segments) <= set(SEGMENTS)
        users = [*(f"shoe{n}" for n in range(4)), *(f"new{n}" for n in range(4)), "tea0"]
        frame = rec.recommend_many(users, k=3)
        rows = list(zip(frame["user_id"].to_pylist(), frame["item_id"].to_pylist(), strict=True))
        assert rows == [(u, line.item_id) for u in users for line in rec.recommend(u, k=3)]
        rec.freeze_weights()
        clock.now += 10.0
        rec.observe("new1", "shoe-1", timestamp=clock.now)
        assert not rec.adapt_weights()
        assert rec.weights().frozen
        frozen, stamp = rec.weights(), rec.stamp
        last = rec.answer(RecommendationRequest(user_id="shoe0", exclude_seen=False))
    for _ in range(2):  # also when the whole log is replayed, and without `adapt`
        with nl.Recommender(tmp_path / "shop", clock=clock) as rec:
            assert rec.weights() == frozen
            assert rec.stamp == stamp
            again = rec.answer(RecommendationRequest(user_id="shoe0", exclude_seen=False))
            assert again.items == last.items
        (tmp_path / "shop" / "state.checkpoint").unlink()
    store = ("--store", tmp_path / "shop")
    assert run_json("weights", "show", *store)["factors"] == pytest.approx(frozen.factors)
    assert "Frozen: yes. Changes: 1." in run("weights", "show", *store).stdout
    assert run_json("weights", "freeze", "--off", *store)["frozen"] is False
    assert run_json("weights", "freeze", *store)["frozen"] is True
    assert set(run_json("weights", "reset", *store)["factors"].values()) == {1.0}
    with nl.Recommender(tmp_path / "shop", clock=clock) as rec:
        assert set(rec.weights().factors.values()) == {1.0}
        assert rec.weights().frozen


def test_without_adapt_nothing_is_sampled() -> None:
    with nl.Recommender().fit(shop()) as rec:
        assert rec._sampled is None
        rec.observe("shoe0", "tea-1")
        assert rec.weights().factors == dict.fromkeys(rec.weights().trained, 1.0)
