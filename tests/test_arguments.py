"""Public calls take what libraries give, and refuse what would be misread, in one way."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import nearline as nl
from nearline.data import load_dataset
from nearline.errors import InvalidInput


@pytest.fixture
def rec() -> Iterator[nl.Recommender]:
    with nl.Recommender() as rec:
        for user, item in (("ann", "tea"), ("bob", "mug"), ("cem", "pot"), ("c", "tea")):
            rec.observe(user, item)
        rec.put_item("tea", categories=["drink"])
        yield rec


@pytest.mark.parametrize(
    "users",
    [
        ["ann", "bob"],
        ("ann", "bob"),
        np.array(["ann", "bob"]),
        np.array(["ann", "bob"], dtype=object),
        pd.Series(["ann", "bob"]),
        pl.Series(["ann", "bob"]),
        pa.array(["ann", "bob"]),
        pa.chunked_array([["ann"], ["bob"]]),
        dict.fromkeys(["ann", "bob"]).keys(),
        (name for name in ("ann", "bob")),
    ],
)
def test_lists_of_ids(rec: nl.Recommender, users: Any) -> None:
    frame = rec.recommend_many(users, k=1)
    assert frame["user_id"].to_pylist() == ["ann", "bob"]


@pytest.mark.parametrize("k", [2, np.int64(2), np.int32(2), np.uint8(2)])
def test_whole_numbers(rec: nl.Recommender, k: Any) -> None:
    assert len(rec.recommend("new", k=k)) == 2
    assert len(rec.recommend_many(["new"], k=k)) == 2
    assert rec.similar("tea", k) == rec.similar("tea", 2)


@pytest.mark.parametrize("no", [False, np.False_])
def test_flags(rec: nl.Recommender, no: Any) -> None:
    assert "tea" in [line.item_id for line in rec.recommend("ann", exclude_seen=no)]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"value": np.float32(2.5)}, 2.5),
        ({"value": np.int64(2)}, 2.0),
        ({"value": 3}, 3.0),
        ({"context": {"hour": np.int64(7)}}, None),
        ({"timestamp": np.float64(1e9)}, None),
        ({"timestamp": np.int64(10**9)}, None),
        ({"timestamp": np.datetime64("2001-09-09T01:46:40.000000000")}, None),
        ({"timestamp": pd.Timestamp("2001-09-09T01:46:40", tz="UTC")}, None),
        ({"timestamp": datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)}, None),
    ],
)
def test_numbers_and_times_of_events(
    rec: nl.Recommender, fields: dict[str, Any], kept: float | None
) -> None:
    assert rec.observe("dan", "tea", **fields).accepted == 1
    if "timestamp" in fields:
        assert rec.user("dan").history[0].timestamp == 1e9


def test_numbers_of_items(rec: nl.Recommender) -> None:
    rec.put_item(
        "cup",
        attributes={"price": np.float32(2.5), "sizes": np.array([1, 2])},
        vectors={"look": np.array([1.0, 2.0], dtype=np.float32)},
        available=np.True_,
    )
    found = rec.item("cup")
    assert (found.attributes, found.vectors) == (
        {"price": 2.5, "sizes": [1, 2]},
        {"look": [1.0, 2.0]},
    )
    rec.patch_item("cup", {"attributes": {"price": np.float64(3.5)}})
    assert rec.item("cup").attributes == {"price": 3.5}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda rec: rec.recommend_many("c"), r"users is a text; .*list of user ids: \['c'\]"),
        (lambda rec: rec.recommend_many(b"c"), "users is a text"),
        (lambda rec: rec.recommend_many(7), "users is 7; it must be a list of user ids"),
        (lambda rec: rec.recommend_many({"c": 1}), "users is a dict"),
        (lambda rec: rec.recommend_many(pd.DataFrame({"u": ["c"]})), "users is a DataFrame"),
        (lambda rec: rec.recommend_many(["c", 7]), "users is int; it must be a string"),
        (lambda rec: rec.rank("c", "tea"), "item_ids is a text"),
        (lambda rec: rec.recommend("c", exclude="tea"), "exclude is a text"),
        (lambda rec: rec.recommend(None, history="tea"), "history is a text"),
        (lambda rec: rec.recommend("c", category=["drink"]), r"category is \['drink'\]"),
        (lambda rec: rec.recommend("c", category=7), "category is 7; it must be a string"),
        (lambda rec: rec.recommend("c", k=2.0), "k is 2.0; it must be a whole number"),
        (lambda rec: rec.recommend("c", k=True), "k is True; it must be a whole number"),
        (lambda rec: rec.recommend("c", k="2"), "k is '2'; it must be a whole number"),
        (lambda rec: rec.recommend("c", k=np.int64(0)), "k is 0; it must be 1 to 1000"),
        (lambda rec: rec.similar("tea", 2.5), "k is 2.5; it must be a whole number"),
        (lambda rec: rec.recommend("c", exclude_seen="no"), "exclude_seen is 'no'; it must be"),
        (lambda rec: rec.recommend("c", explain=1), "explain is 1; it must be True or False"),
        (lambda rec: rec.recommend("c", context="FR"), "context is str"),
        (lambda rec: rec.recommend("c", preferences=["tea"]), "preferences is list"),
        (lambda rec: rec.recommend(7), "user_id is int; it must be a string"),
        (lambda rec: rec.fit(seed="x"), "seed is 'x'; it must be a whole number"),
        (lambda rec: rec.fit(seed=-1), "seed is -1; it must be 0 to 4294967295"),
        (lambda rec: rec.train(seed=1.5), "seed is 1.5"),
        (lambda rec: rec.train(model=7), "model is 7; it must be a text"),
        (lambda rec: rec.train(settings=["l2"]), r"settings is \['l2'\]; it must be a mapping"),
        (lambda rec: rec.append_events(nl.Event(user_id="a", item_id="b", timestamp=1.0)),
         "events is Event"),
        (lambda rec: rec.append_events([{"user_id": "a"}]), "entry 0 is dict; give nearline.Event"),
        (lambda rec: rec.put_items(["tea"]), "entry 0 is str; give nearline.Item"),
        (lambda rec: rec.patch_item("tea", ["title"]), r"changes is \['title'\]; it must be a map"),
        (lambda rec: rec.add(pa.table({"u": ["a"]}), columns="u"), "columns is 'u'; it must be a"),
        (lambda rec: rec.add(items=pa.table({"u": ["a"]}), columns=["u"]), "columns is "),
    ],
)  # fmt: skip
def test_what_would_be_misread_is_refused(rec: nl.Recommender, call: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        call(rec)


def test_the_items_of_a_data_set_are_taken() -> None:
    data = load_dataset("synthetic")
    with nl.Recommender() as rec:
        rec.add(data.interactions.slice(0, 100), data.items[:50])
        assert rec.item(data.items[0].item_id).categories == data.items[0].categories
