"""Answers and events of the engine in Python."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.engine.shop import TEAS, catalogue, clock, ids, shop

import nearline as nl
from nearline.errors import (
    InvalidInput,
    NotTrained,
    UnknownItem,
    UnknownUser,
)
from nearline.schema import RecommendationRequest


def test_a_new_user_is_led_by_what_they_do(rec: nl.Recommender) -> None:
    assert rec.recommend("new", k=1)[0].tier in ("trending", "popular")
    rec.observe("new", "tea-0")
    first = rec.recommend("new", k=3)
    assert {line.tier for line in first} == {"personal"}
    assert set(ids(first)) == {"tea-1", "tea-2", "tea-3"}
    rec.observe("new", "shoe-1")
    assert rec.recommend("new", k=1)[0].item_id == "shoe-2"


def test_a_list_has_k_items_while_the_catalogue_has_them(rec: nl.Recommender) -> None:
    lines = rec.recommend("shoe0", k=9)
    assert set(ids(lines)) == {f"tea-{n}" for n in range(4)}  # five shoes are seen
    assert len(rec.recommend("shoe0", k=9, exclude_seen=False)) == 9
    scores = [line.score for line in rec.recommend("new", k=9)]
    assert len(scores) == 9
    assert scores == sorted(scores, reverse=True)


def test_rules_hold(rec: nl.Recommender) -> None:
    assert all(i.startswith("tea") for i in ids(rec.recommend("x", k=9, category="teas")))
    assert rec.recommend("x", category="no such category") == []
    assert "tea-1" not in ids(rec.recommend("x", k=9, exclude=["tea-1", "unknown"]))
    rec.put_item("tea-2", text="mint tea", available=False)
    assert "tea-2" not in ids(rec.recommend("x", k=9))
    assert "tea-2" not in [line.item_id for line in rec.similar("tea-1")]


def test_a_deleted_item_is_never_answered_again(rec: nl.Recommender) -> None:
    rec.observe("u", "tea-0")
    assert "tea-1" in ids(rec.recommend("u", k=9))
    rec.delete_item("tea-1").result()
    assert "tea-1" not in ids(rec.recommend("u", k=9))
    rec.observe("v", "tea-1")  # late events do not bring it back
    assert "tea-1" not in ids(rec.recommend("w", k=9))
    rec.put_item("tea-1", text="black tea leaves")
    assert "tea-1" in ids(rec.recommend("u", k=9))


def test_disliked_items_stay_out_and_push_down(rec: nl.Recommender) -> None:
    rec.observe("u", "tea-0")
    before = {line.item_id: line.score for line in rec.rank("u", ["tea-2"])}
    rec.observe("u", "tea-1", event="dislike")
    assert "tea-1" not in ids(rec.recommend("u", k=9, exclude_seen=False))
    after = {line.item_id: line.score for line in rec.rank("u", ["tea-2"])}
    assert after["tea-2"] < before["tea-2"]


def test_a_new_item_with_text_reaches_those_whose_history_it_resembles(
    rec: nl.Recommender,
) -> None:
    rec.put_item("tea-new", text="jasmine tea leaves")
    assert "tea-new" in ids(rec.recommend("tea0", k=1))
    assert rec.recommend("tea0", k=1)[0].tier == "personal"
    reasons = rec.recommend("tea0", k=1, explain=True)[0].reasons
    assert {part.relation for part in reasons} == {"content"}
    assert all(part.source.startswith("tea-") for part in reasons)


def test_a_new_item_with_a_vector_reaches_its_neighbours() -> None:
    vectors = [[1.0, 0.1 * n] if n < 5 else [0.1 * n, -1.0] for n in range(9)]
    items = catalogue().append_column("image", pa.array(vectors)).drop_columns(["text"])
    with nl.Recommender(clock=clock) as rec:
        rec.fit(shop(), items=items)
        rec.put_item("odd", vectors={"image": [1.0, 2.0, 3.0], "sound": [1.0]})
        rec.put_item("new", vectors={"image": [1.0, 0.05]})
        assert rec.similar("odd") == []
        assert rec.similar("new", k=1)[0].item_id in ("shoe-0", "shoe-1")
        parts = rec.explain("shoe0", "new").parts
        assert {part.relation for part in parts} == {"vector:image"}


def test_forgetting_during_training_is_not_hidden(store: Path) -> None:
    done: list[int] = []
    with nl.Recommender(store, clock=clock) as engine:

        def forget(_done: int, _of: int, what: str) -> None:
            if not done and what not in ("events", "items"):
                done.append(engine.forget("tea0").result())

        engine.fit(shop(), progress=forget)
        assert done == [4]
        with pytest.raises(UnknownUser):
            engine.user("tea0")
    # The snapshot says that it was trained before the erasure.
    (manifest,) = store.glob("snapshots/*/manifest.json")
    assert '"erasures":0' in manifest.read_text()


def test_parts_sum_to_the_score_of_the_list(rec: nl.Recommender) -> None:
    rec.observe("u", "tea-0")
    rec.observe("u", "shoe-2")
    for line in rec.recommend("u", k=9):
        told = rec.explain("u", line.item_id)
        assert told.score == pytest.approx(line.score, rel=1e-6, abs=1e-12)
        assert sum(part.amount for part in told.parts) == pytest.approx(told.score, abs=1e-6)
        assert told.tier == line.tier


def test_rank_orders_exactly_the_given_items(rec: nl.Recommender) -> None:
    rec.observe("u", "tea-0")
    given = ["shoe-3", "unknown", "tea-1", "tea-1"]
    lines = rec.rank("u", given)
    assert sorted(line.item_id for line in lines) == sorted(given)
    assert [line.item_id for line in lines[:2]] == ["tea-1", "tea-1"]
    assert lines[-1] == nl.ScoredItem("unknown", 0.0)


def test_similar(rec: nl.Recommender) -> None:
    found = rec.similar("tea-1", k=3)
    assert {line.item_id for line in found} == {"tea-0", "tea-2", "tea-3"}
    with pytest.raises(UnknownItem, match="'nothing'"):
        rec.similar("nothing")


def test_a_session_without_an_account(rec: nl.Recommender) -> None:
    answer = rec.answer(RecommendationRequest(history=("tea-0", "unknown"), k=3))
    assert answer.tier == "session"
    assert answer.user_id is None
    assert {line.item_id for line in answer.items} == {"tea-1", "tea-2", "tea-3"}
    assert answer == rec.answer(RecommendationRequest(history=("tea-0", "unknown"), k=3))


def test_many_users_get_what_each_gets_alone(rec: nl.Recommender) -> None:
    rec.observe("u", "tea-0")
    users = ["u", "shoe0", "tea3", "stranger"]
    frame = rec.recommend_many(users, k=6).to_pandas()
    for user in users:
        rows = frame[frame.user_id == user]
        alone = rec.recommend(user, k=6)
        assert rows.item_id.tolist() == ids(alone)
        assert rows["rank"].tolist() == list(range(1, len(alone) + 1))
        np.testing.assert_allclose(rows.score, [line.score for line in alone], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(pa.Table.to_pandas, pd.DataFrame), (pl.from_arrow, pl.DataFrame), (lambda t: t, pa.Table)],
)
def test_frames_go_out_as_they_came_in(make, kind) -> None:  # type: ignore[no-untyped-def]
    with nl.Recommender(clock=clock) as rec:
        rec.fit(make(shop()))
        assert isinstance(rec.recommend_many(["tea0"], k=2), kind)


def test_histories_replace_what_is_known_for_this_call_only(rec: nl.Recommender) -> None:
    given = pa.table({"user_id": ["shoe0"], "item_id": ["tea-0"]})
    lines = rec.recommend_many(["shoe0"], k=3, histories=given)
    assert set(lines["item_id"].to_pylist()) == {"tea-1", "tea-2", "tea-3"}
    assert len(rec.user("shoe0").history) == 5


def test_what_is_known_of_a_user_and_forgetting(rec: nl.Recommender) -> None:
    rec.observe("u", "tea-0", timestamp=10)
    rec.observe("u", "tea-1", event="purchase", timestamp=20)
    past = rec.user("u").history
    assert [(line.item_id, line.timestamp) for line in past] == [("tea-1", 20.0), ("tea-0", 10.0)]
    assert rec.forget("u").result() == 2
    with pytest.raises(UnknownUser):
        rec.user("u")
    assert rec.recommend("u", k=9) == rec.recommend("stranger", k=9)
    assert rec.forget("u").result() == 0


def test_an_untrained_store_answers_from_content_and_counts() -> None:
    with nl.Recommender(clock=clock) as rec:
        assert rec.recommend("u") == []
        for number, text in enumerate(TEAS):
            rec.put_item(f"tea-{number}", text=text)
        rec.put_item("shoe-0", text="red shoes")
        rec.observe("v", "shoe-0")
        assert rec.recommend("u", k=1)[0].item_id == "shoe-0"
        rec.observe("u", "tea-0")
        best = rec.recommend("u", k=1)[0]
        assert best.item_id.startswith("tea-")
        assert best.tier == "personal"
        assert rec.model_id == "untrained"
        with pytest.raises(NotTrained):
            nl.Recommender().fit()


def test_item_round_trip(rec: nl.Recommender) -> None:
    fields = {"title": "Tea", "attributes": {"price": 3.5}, "vectors": {"image": [0.5, 1.0]}}
    rec.put_item("t", text="tea", timestamp="1970-01-02T00:00:00Z", **fields)
    found = rec.item("t")
    assert (found.title, found.attributes, found.vectors) == tuple(fields.values())
    assert found.timestamp == 86_400.0
    rec.patch_item("t", {"available": False})
    assert rec.item("t").available is False
    assert rec.item("t").text == "tea"
    for changes in ({"colour": "red"}, {"text": 7}, {"vectors": {"image": [float("nan")]}}):
        with pytest.raises(InvalidInput):
            rec.patch_item("t", changes)
    with pytest.raises(UnknownItem):
        rec.patch_item("nothing", {"text": "x"})
    with pytest.raises(UnknownItem):
        rec.item("nothing")
    with pytest.raises(UnknownItem):
        rec.delete_item("nothing")


def test_patches_at_the_same_time_all_hold(rec: nl.Recommender) -> None:
    rec.put_item("t", text="tea")
    changes: list[dict[str, object]] = [
        {"title": "Tea"},
        {"text": "green tea"},
        {"categories": ["teas"]},
        {"available": False},
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: rec.patch_item("t", change), changes * 10))
    found = rec.item("t")
    assert (found.title, found.text) == ("Tea", "green tea")
    assert (found.categories, found.available) == (["teas"], False)


def test_bad_events_lose_nothing_and_store_nothing(rec: nl.Recommender) -> None:
    before = rec.offset
    good = nl.Event(user_id="u", item_id="tea-0", timestamp=1.0)
    bad = nl.Event(user_id="u", item_id="", timestamp=1.0)
    with pytest.raises(InvalidInput, match="entry 1") as caught:
        rec.append_events([good, bad])
    assert caught.value.position == 1
    for fields in ({"value": float("nan")}, {"colour": "red"}, {"timestamp": -1}):
        with pytest.raises(InvalidInput):
            rec.observe("u", "tea-0", **fields)
    assert rec.offset == before


def test_an_event_told_twice_counts_once(rec: nl.Recommender) -> None:
    first = rec.observe("u", "tea-0", event_id="e1")
    second = rec.observe("u", "tea-0", event_id="e1")
    assert (first.accepted, second.accepted, second.duplicates) == (1, 0, 1)
    assert len(rec.user("u").history) == 1
