"""Limits on what a user teaches others: exact in the live model, after restarts and erasures."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.deployment import test_live
from tests.deployment.test_live import (
    STEPS,
    act,
    counted,
    expected,
    train_and_restart,
    without_user,
)
from tests.state.naive_state import FEW, assert_same, naive_view, view_of

import nearline as nl
from nearline.config import Config
from nearline.errors import InvalidInput
from nearline.kernels import counted_events, support
from nearline.state import StateConfig
from nearline.testing.inspector import inspect

DAY = 86_400.0
PROTECTED = st.builds(
    StateConfig,
    history_length=st.just(6),
    max_weight_per_user=st.sampled_from([None, 1.0, 3.0, 7.0]),
    max_events_per_item=st.sampled_from([None, 1, 2]),
    min_age=st.sampled_from([0.0, 1.0, 3.0]),
)


@settings(deadline=None, max_examples=60)
@given(STEPS, PROTECTED, FEW)
def test_online_counts_equal_a_recount_and_the_naive_state(
    steps: list[Any], state: StateConfig, limits: counted_events.CountedLimits
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        patch.setattr(support, "VERY_ACTIVE", 2)
        with nl.Recommender(config=Config(state=state)) as rec:
            for step in steps:
                act(rec, step)
            assert counted(inspect(rec).model) == expected(rec)
            parts = inspect(rec)
            view = naive_view(list(parts.log.read(0, parts.log.end)), state)
            assert_same(view_of(parts.state), view)


@settings(deadline=None, max_examples=40)
@given(STEPS, PROTECTED)
def test_after_an_erasure_counts_are_those_of_a_log_without_the_user(
    steps: list[Any], state: StateConfig
) -> None:
    def run(steps: list[Any]) -> dict[str, Any]:
        with nl.Recommender(config=Config(state=state)) as rec:
            for name in "abcdefxy":  # both stores number items alike
                rec.put_item(name, text=f"words of {name}", timestamp=1.0)
            for step in steps:
                act(rec, step)
            rec.forget("u").result()
            counters = inspect(rec).state.counters
            return counted(inspect(rec).model) | {"totals": counters.totals().tolist()}

    assert run(steps) == run(without_user(steps))


@settings(deadline=None, max_examples=12)
@given(STEPS, STEPS, STEPS, PROTECTED, FEW)
def test_the_same_holds_after_training_and_restarts(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[Any],
    between: list[Any],
    last: list[Any],
    state: StateConfig,
    limits: counted_events.CountedLimits,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        patch.setattr(support, "VERY_ACTIVE", 2)
        patch.setattr(test_live, "CONFIG", Config(state=state))
        if state.min_age:  # the training needs at least one event that counts
            before = [("observe", "z", "b", 9, "view", None), *before]
        train_and_restart(tmp_path_factory, before, between, last)


def days_of(rec: nl.Recommender, user: str, items: str, *days: float) -> None:
    """Store an event of a user with each item, at a time in days."""
    for item, day in zip(items, days, strict=True):
        rec.observe(user, item, timestamp=1.7e9 + day * DAY)


def similar(rec: nl.Recommender, item: str) -> set[str]:
    return {line.item_id for line in rec.similar(item, 10) if line.score > 0}


def popular(rec: nl.Recommender) -> dict[str, float]:
    return {line.item_id: line.score for line in rec.popular(10) if line.score > 0}


def test_a_young_user_has_a_personal_list_and_teaches_others_later() -> None:
    with nl.Recommender(config=Config(state=StateConfig(min_age=DAY))) as rec:
        days_of(rec, "ann", "xabc", 0, 2, 2.1, 2.2)
        days_of(rec, "new", "ab", 2, 2.1)
        assert similar(rec, "a") == {"b", "c"}  # not x, which ann took when her profile was new
        personal = [line.item_id for line in rec.recommend("new", k=5) if line.tier == "personal"]
        assert personal == ["c"]
        assert popular(rec) == {"a": 1, "b": 1, "c": 1}
        days_of(rec, "new", "cd", 3, 3.1)
        assert similar(rec, "d") == {"c"}
        assert popular(rec) == {"a": 1, "b": 1, "c": 2, "d": 1}


def test_one_user_moves_at_most_the_weight_in_any_count() -> None:
    with nl.Recommender(config=Config(state=StateConfig(max_weight_per_user=3.0))) as rec:
        rec.append_events(
            [nl.Event(user_id="u", item_id=item, timestamp=1.7e9) for item in "aaaabcd"]
        ).result()
        assert popular(rec) == {"a": 3}
        assert rec.user("u").history[0].item_id == "d"
        # Another kind of event: a purchase weighs 3, and fills the limit alone.
        rec.observe("v", "b", "purchase", timestamp=1.7e9)
        rec.observe("v", "c", "view", timestamp=1.7e9)
        assert popular(rec).keys() == {"a", "b"}


def test_a_user_who_repeats_an_item_counts_once() -> None:
    state = StateConfig(max_events_per_item=1)
    with nl.Recommender(config=Config(state=state)) as rec:
        days_of(rec, "fake", "xaxbxc", 0, 0.1, 0.2, 0.3, 0.4, 0.5)
        assert popular(rec) == {"a": 1, "b": 1, "c": 1, "x": 1}
        # Positions stay those of the history: x and c are five events apart.
        days_of(rec, "once", "xabc", 0, 0.1, 0.2, 0.3)
        assert popular(rec) == {"a": 2, "b": 2, "c": 2, "x": 2}
        assert len(rec.user("fake").history) == 6
        assert counted(inspect(rec).model) == expected(rec)
        rec.forget("fake").result()
        assert popular(rec) == {"a": 1, "b": 1, "c": 1, "x": 1}
        assert counted(inspect(rec).model) == expected(rec)


def test_counts_of_a_snapshot_with_other_limits_are_computed_again(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with nl.Recommender(folder) as rec:
        days_of(rec, "ann", "ab", 0, 0.1)
        days_of(rec, "bob", "xcd", 0, 2, 2.1)
        rec.fit()
        assert similar(rec, "a") == {"b"}
    once = Config(state=StateConfig(max_events_per_item=1))
    with nl.Recommender(folder) as rec:
        days_of(rec, "cyd", "aaab", 0, 0.1, 0.2, 0.3)
    with nl.Recommender(folder, config=once) as rec:
        assert counted(inspect(rec).model) == expected(rec)
        assert popular(rec)["a"] == 2
        rec.forget("cyd").result()
    protected = Config(state=StateConfig(min_age=DAY))
    with nl.Recommender(folder, config=protected) as rec:
        assert counted(inspect(rec).model) == expected(rec)
        assert similar(rec, "a") == set()
        assert similar(rec, "c") == {"d"}
        rec.forget("bob").result()
        assert counted(inspect(rec).model) == expected(rec)
    with nl.Recommender(folder) as rec:
        assert counted(inspect(rec).model) == expected(rec)
        assert similar(rec, "a") == {"b"}


def test_events_since_a_snapshot_count_after_a_restart_as_they_did_before(tmp_path: Path) -> None:
    folder, state = tmp_path / "shop", StateConfig(min_age=DAY, max_weight_per_user=4.0)
    with nl.Recommender(folder, config=Config(state=state)) as rec:
        days_of(rec, "ann", "xabc", 0, 2, 2.1, 2.2)
        days_of(rec, "bob", "xabc", 0, 2, 2.1, 2.2)
        rec.fit()
        days_of(rec, "ann", "def", 3, 3.1, 3.2)  # d is the fourth event of hers that counts
        days_of(rec, "new", "ab", 3, 3.1)
        before = counted(inspect(rec).model)
        assert before == expected(rec)
        assert similar(rec, "d") == {"a", "b", "c"}
    with nl.Recommender(folder, config=Config(state=state)) as rec:
        assert counted(inspect(rec).model) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_weight_per_user", 0.0),
        ("max_weight_per_user", float("nan")),
        ("max_weight_per_user", 1e12),
        ("max_events_per_item", 0),
        ("max_events_per_item", 6),
        ("min_age", -1.0),
        ("min_age", float("inf")),
    ],
)
def test_settings_have_bounds(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name):
        StateConfig(**{name: value})  # type: ignore[arg-type]
