"""Deletion of one event: the result is as if the event had never existed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.config import Config
from nearline.kernels import counted_events
from nearline.schema import Erased
from nearline.state import StateConfig

NOW = 1_700_000_000.0
Events = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["view", "like", "dislike"])
    ),
    min_size=1,
    max_size=10,
)


def filled(rec: nl.Recommender, events: list[tuple[int, tuple[str, str, str]]]) -> None:
    for number, (user, item, kind) in events:
        rec.observe(user, item, kind, timestamp=NOW + number, event_id=f"e{number}")


def counts(rec: nl.Recommender) -> dict[str, Any]:
    """All-time and trending counts of the items that have any."""
    state = rec._current.deployment.state
    items = np.arange(len(state.items), dtype=np.int32)
    popular, trending = state.counters.of(items, NOW)
    names = state.items.table()
    return {
        names[item]: (popular[item], pytest.approx(trending[item], abs=1e-9))
        for item in items
        if popular[item]
    }


def histories(rec: nl.Recommender) -> dict[str, list[tuple[str, float, float]]]:
    users = rec._current.deployment.state.user_ids()
    return {
        user: [(past.item_id, past.weight, past.timestamp) for past in rec.user(user).history]
        for user in users
    }


@given(events=Events, which=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_counts_and_histories_are_as_if_the_event_had_never_existed(
    events: list[tuple[str, str, str]], which: int
) -> None:
    gone = which % len(events)
    numbered = list(enumerate(events))
    with nl.Recommender(clock=lambda: NOW) as rec, nl.Recommender(clock=lambda: NOW) as other:
        filled(rec, numbered)
        assert rec.delete_event(f"e{gone}").result() == 1
        filled(other, numbered[:gone] + numbered[gone + 1 :])
        assert histories(rec) == histories(other)
        assert counts(rec) == counts(other)
        assert rec.delete_event(f"e{gone}").result() == 0


def test_a_deleted_event_is_removed_from_the_store(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path, clock=lambda: NOW) as rec:
        filled(
            rec, list(enumerate([("a", "x", "like"), ("a", "secret", "view"), ("b", "y", "view")]))
        )
        assert rec.delete_event("e1").result() == 1
        assert rec.offset == 3
    with nl.Recommender(tmp_path, clock=lambda: NOW) as rec:
        assert [past.item_id for past in rec.user("a").history] == ["x"]
        records = [record for _, record in rec._current.deployment.log.read()]
        assert isinstance(records[1], Erased)
        rec.observe("a", "z", event_id="e1", timestamp=NOW)
        assert rec.user("a").history[0].item_id == "z"
    assert b"secret" not in (tmp_path / "log.db").read_bytes()


def test_deleting_the_last_event_of_a_user_removes_the_user(tmp_path: Path) -> None:
    with nl.Recommender(clock=lambda: NOW) as rec:
        filled(rec, [(0, ("a", "x", "view"))])
        assert rec.delete_event("e0").result() == 1
        with pytest.raises(nl.errors.UnknownUser):
            rec.user("a")


def test_the_model_learns_as_if_the_event_had_never_existed() -> None:
    """The pairs of the deleted event are subtracted from the item graph; the others remain."""
    walk = [("a", "x", "view"), ("a", "y", "view"), ("b", "x", "view"), ("b", "z", "view")]
    with nl.Recommender(clock=lambda: NOW) as rec, nl.Recommender(clock=lambda: NOW) as other:
        filled(rec, list(enumerate(walk)))
        rec.delete_event("e3").result()
        filled(other, list(enumerate(walk[:3])))
        found = {line.item_id: line.score for line in rec.similar("x", 5)}
        expected = {line.item_id: line.score for line in other.similar("x", 5) if line.score > 0}
        assert expected.keys() == {"y"}
        assert {item: score for item, score in found.items() if score > 0} == expected


LONG = st.lists(
    st.tuples(
        st.sampled_from("xyz"), st.integers(0, 9), st.sampled_from(["view", "like", "dislike"])
    ),
    min_size=1,
    max_size=25,
)


@given(events=LONG, which=st.integers(0, 24))
@settings(max_examples=60, deadline=None)
def test_the_same_holds_for_a_user_with_more_events_than_are_stored(
    events: list[tuple[str, int, str]], which: int
) -> None:
    def fill(rec: nl.Recommender, numbers: list[int]) -> None:
        for number in numbers:
            item, time, kind = events[number]
            rec.observe("a", item, kind, timestamp=NOW + time, event_id=f"e{number}")

    gone, everything = which % len(events), list(range(len(events)))
    config = Config(state=StateConfig(history_length=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", counted_events.CountedLimits(events=6, repeats=3))
        with (
            nl.Recommender(config=config, clock=lambda: NOW) as rec,
            nl.Recommender(config=config, clock=lambda: NOW) as other,
        ):
            fill(rec, everything)
            assert rec.delete_event(f"e{gone}").result() == 1
            fill(other, [number for number in everything if number != gone])
            assert histories(rec) == histories(other)
            assert counts(rec) == counts(other)
            one, two = (engine._current.deployment.state for engine in (rec, other))
            assert one.counted_of(["a"]).arrived.tolist() == two.counted_of(["a"]).arrived.tolist()
            assert one.opposed(["a"]).tolist() == two.opposed(["a"]).tolist()
            # Later events of both count alike.
            for engine in (rec, other):
                engine.observe("a", "w", timestamp=NOW + 5)
            assert histories(rec) == histories(other)
            assert counts(rec) == counts(other)
