"""Lists of similar items give away nothing about single users, if so configured."""

import numpy as np
import pytest

import nearline as nl
from nearline.config import Config
from nearline.state import users_with

# "rare" and "odd" occur in the history of one person only; "tea" and "mug" of three.
HISTORIES = {
    "ann": ["tea", "mug", "rare", "odd"],
    "bob": ["tea", "mug"],
    "cat": ["mug", "tea", "cup"],
    "dan": ["cup", "mug"],
}


def engine_with(similar_users: int) -> nl.Recommender:
    engine = nl.Recommender(config=Config(similar_users=similar_users))
    for user, items in HISTORIES.items():
        for item in items:
            engine.observe(user, item)
    return engine


def similar(engine: nl.Recommender, item: str) -> set[str]:
    return {line.item_id for line in engine.similar(item)}


def test_by_default_all_items_are_compared() -> None:
    engine = engine_with(1)
    assert similar(engine, "rare") >= {"tea", "mug", "odd"}
    assert "rare" in similar(engine, "tea")


@pytest.mark.parametrize(("least", "left"), [(2, {"tea", "mug", "cup"}), (3, {"tea", "mug"})])
def test_items_of_few_users_have_no_lists_and_are_in_none(least: int, left: set[str]) -> None:
    engine = engine_with(least)
    for item in ("tea", "mug", "cup", "rare", "odd"):
        expected = left - {item} if item in left else set()
        assert similar(engine, item) == expected, item


def test_repeated_events_are_those_of_one_user() -> None:
    engine = engine_with(2)
    for _ in range(5):
        engine.observe("ann", "rare")
    assert similar(engine, "rare") == set()


def test_an_item_without_events_is_compared_by_its_content() -> None:
    engine = engine_with(2)
    engine.put_item("new", text="green tea from Japan")
    engine.put_item("newer", text="green tea from China")
    engine.put_item("rare", text="green tea from Assam")
    assert similar(engine, "new") == {"newer"}


def test_an_erased_user_does_not_count() -> None:
    engine = engine_with(2)
    engine.observe("bob", "rare")
    assert similar(engine, "rare")
    engine.forget("bob").result()
    assert similar(engine, "rare") == set()


def test_numbers_of_users() -> None:
    state = engine_with(1)._current.deployment.state
    items = np.array([state.items[name] for name in ("odd", "mug", "cup", "tea")], dtype=np.int32)
    assert users_with(state, items).tolist() == [1, 4, 2, 3]
    assert users_with(state, items[:0]).tolist() == []
