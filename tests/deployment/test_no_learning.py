"""A store that is opened without online learning, as for an import or a training."""

from collections.abc import Iterable
from pathlib import Path

import pytest

import nearline as nl
from nearline.state import State


def test_past_events_are_not_collected_for_a_model_that_does_not_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither their columns nor the histories of their users; the catalogue is learned."""
    asked: list[list[str]] = []
    counted_of = State.counted_of

    def noted(state: State, user_ids: Iterable[str]) -> object:
        asked.append(list(user_ids))
        return counted_of(state, asked[-1])

    events = [
        nl.Event(user_id=f"u{n % 4}", item_id=f"i{n % 5}", timestamp=1.7e9 + n) for n in range(20)
    ]
    with nl.Recommender(tmp_path / "shop", config=nl.Config(online=False)) as engine:
        engine.append_events(events).result()
        engine.put_items([nl.Item(item_id="tea", text="green tea", timestamp=1.7e9)])
    monkeypatch.setattr(State, "counted_of", noted)
    with nl.Recommender(tmp_path / "shop", config=nl.Config(online=False)) as engine:
        assert [user for users in asked for user in users] == []
        assert (engine.n_users, engine.n_items, engine.offset) == (4, 6, 21)
        assert [line.item_id for line in engine.recommend("u1", k=3)] == ["tea"]  # all seen but it
    asked.clear()
    with nl.Recommender(tmp_path / "shop") as engine:
        assert engine.offset == 21
