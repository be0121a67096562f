"""The engine through its Python door, on a small shop that can be worked out by hand."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import nearline as nl
from nearline.errors import (
    Closed,
    InvalidInput,
    NotTrained,
    StoreInUse,
    UnknownItem,
    UnknownUser,
)
from nearline.schema import RecommendationRequest
from nearline.snapshots import SnapshotStore, build
from nearline.testing.inspector import inspect

NOW = 1_000_000.0
SHOES = ["red shoes", "blue shoes", "green shoes", "black shoes", "white shoes"]
TEAS = ["green tea leaves", "black tea leaves", "mint tea leaves", "white tea leaves"]


def clock() -> float:
    return NOW


def shop() -> pa.Table:
    """Six people buy shoes 0-4 in order, six buy teas 0-3 in order; times rise."""
    rows = [
        (f"{kind}{person}", f"{kind}-{step}", 1000.0 * person + step)
        for kind, count in (("shoe", 5), ("tea", 4))
        for person in range(6)
        for step in range(count)
    ]
    users, items, times = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def catalogue() -> pa.Table:
    return pa.table(
        {
            "item_id": [f"shoe-{n}" for n in range(5)] + [f"tea-{n}" for n in range(4)],
            "text": SHOES + TEAS,
            "categories": [["shoes"]] * 5 + [["teas"]] * 4,
        }
    )


@pytest.fixture
def rec() -> Iterator[nl.Recommender]:
    with nl.Recommender(clock=clock) as engine:
        yield engine.fit(shop(), items=catalogue())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def ids(lines: list[nl.Recommendation]) -> list[str]:
    return [line.item_id for line in lines]


def test_a_new_user_is_led_by_what_they_do(rec: nl.Recommender) -> None:
    assert rec.recommend("new", k=1)[0].tier in ("trending", "popular")
    rec.observe("new", "tea-0")
    first = rec.recommend("new", k=3)
    assert {line.tier for line in first} == {"personal"}
    assert set(ids(first)) == {"tea-1", "tea-2", "tea-3"}
    rec.observe("new", "shoe-1")
    assert rec.recommend("new", k=1)[0].item_id == "shoe-2"


def test_attributes_of_users_are_ignored_and_that_is_said(
    rec: nl.Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    rec.fit(shop(), users=pa.table({"user_id": ["shoe0"], "age": [30]}))
    assert "TwoTower on make_dataset" in caplog.text
    assert len(rec.recommend("shoe0", k=3)) == 3


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


def test_a_store_is_opened_again_as_it_was(store: Path) -> None:
    with nl.Recommender(store, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        rec.put_item("tea-new", text="jasmine tea leaves")
        rec.observe("u", "tea-0")
        before = rec.recommend("u", k=9), rec.similar("tea-new"), rec.model_id, rec.offset
    with nl.Recommender(store, clock=clock) as rec:
        assert (rec.recommend("u", k=9), rec.similar("tea-new"), rec.model_id, rec.offset) == before
    (store / "state.checkpoint").write_bytes(b"half a checkpoint")
    with nl.Recommender(store, clock=clock) as rec:
        assert (rec.recommend("u", k=9), rec.similar("tea-new"), rec.model_id, rec.offset) == before


def test_fitting_a_store_twice_stores_nothing_twice(store: Path) -> None:
    with nl.Recommender(store, clock=clock) as rec:
        rec.fit(shop())
        offset, model = rec.offset, rec.model_id
        rec.fit(shop())
        assert (rec.offset, rec.model_id) == (offset, model)


def test_save_and_load(rec: nl.Recommender, store: Path) -> None:
    rec.observe("u", "tea-0")
    rec.put_item("tea-new", text="jasmine tea leaves")
    rec.save(store)
    with nl.Recommender.load(store, clock=clock) as loaded:
        assert loaded.recommend("u", k=9) == rec.recommend("u", k=9)
        assert loaded.model_id == rec.model_id
    with pytest.raises(InvalidInput, match="not an empty folder"):
        rec.save(store)
    with pytest.raises(InvalidInput, match="contains no store"):
        nl.Recommender.load(store / "nothing")


def test_a_store_is_open_once(store: Path) -> None:
    with nl.Recommender(store, clock=clock), pytest.raises(StoreInUse):
        nl.Recommender(store)
    store.joinpath("file").write_text("x")
    with pytest.raises(InvalidInput, match="is a file"):
        nl.Recommender(store / "file")


def test_after_closing_every_call_says_so(rec: nl.Recommender) -> None:
    rec.close()
    rec.close()
    with pytest.raises(Closed):
        rec.recommend("u")
    with pytest.raises(Closed):
        rec.observe("u", "tea-0")


def test_validation_chooses_and_is_not_trained_on() -> None:
    table = shop()
    validation = pa.table({"user_id": ["tea0"], "item_id": ["shoe-4"], "timestamp": [9e5]})
    with nl.Recommender(clock=clock) as rec:
        rec.fit(table, validation=validation)
        assert rec.offset == table.num_rows
        assert len(rec.user("tea0").history) == 4
        assert rec.metrics["validation_ndcg@10"] >= 0


def test_two_fits_with_one_seed_give_the_same_snapshot(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        with nl.Recommender(tmp_path / name, clock=clock) as rec:
            rec.fit(shop(), items=catalogue(), seed=7)
        folder = tmp_path / name / "snapshots"
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        contents.append({str(p.relative_to(folder)): p.read_bytes() for p in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) >= 3


def test_unknown_presets_and_encoders_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'slow'"):
        nl.Recommender(preset="slow")
    with pytest.raises(InvalidInput, match="'nothing'"):
        nl.Recommender(encoder="nothing")


def test_public_names() -> None:
    assert set(nl.__all__) <= set(dir(nl))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nl.nothing  # noqa: B018


def test_any_model_may_serve(store: Path) -> None:
    with nl.Recommender(store, config=nl.Config(model="popularity"), clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        before = rec.recommend("tea0", k=9)
        assert set(ids(before)) == {f"shoe-{n}" for n in range(5)}
        rec.put_item("new", text="new shoes")
        assert ids(rec.recommend("tea0", k=9))[-1] == "new"
        told = rec.explain("tea0", before[0].item_id)
        assert [part.relation for part in told.parts] == ["popularity"]
        assert told.score == pytest.approx(before[0].score)
        assert [line.item_id for line in rec.rank("tea0", ["new", "shoe-0"])] == ["shoe-0", "new"]
    with nl.Recommender(store, clock=clock) as rec:
        assert rec.recommend("tea0", k=5) == before


def test_a_model_of_ratings_cannot_serve() -> None:
    with nl.Recommender(config=nl.Config(model="svd"), clock=clock) as rec:
        rec.add(shop())
        with pytest.raises(InvalidInput, match="'svd' learns ratings"):
            rec.fit()


def test_unknown_models_and_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no model 'oracle'; known are .*item_graph"):
        nl.Recommender(config=nl.Config(model="oracle")).fit(shop())
    with pytest.raises(InvalidInput, match="colour"):
        nl.Recommender(config=nl.Config(settings={"colour": "red"})).fit(shop())


def test_stamp_changes_with_every_record_erasure_and_model(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        stamps = [rec.stamp]
        rec.observe("u", "a")
        stamps.append(rec.stamp)
        rec.put_item("b", text="words")
        stamps.append(rec.stamp)
        rec.delete_item("b").result()
        stamps.append(rec.stamp)
        rec.observe("v", "c")
        stamps.append(rec.stamp)
        rec.forget("u").result()
        stamps.append(rec.stamp)
        rec.fit()
        stamps.append(rec.stamp)
        rec.recommend("v")
        assert rec.stamp == stamps[-1]
    assert len(set(stamps)) == len(stamps)


def test_a_snapshot_with_settings_of_another_version_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.observe("u", "a")
        rec.fit()
        snapshot = inspect(rec).snapshot
        assert snapshot is not None
        manifest = build(
            model="item_graph",
            config={**snapshot.manifest.config, "colour": "red"},
            arrays=snapshot.arrays,
            item_ids=snapshot.item_ids,
            offset=snapshot.manifest.offset,
            erasures=0,
            seed=0,
            metrics={},
            data_until=None,
        )
        newer = SnapshotStore(tmp_path / "shop" / "snapshots")
        newer.write(manifest, snapshot.arrays, snapshot.item_ids)
        newer.promote(manifest.id)
    with nl.Recommender(tmp_path / "shop") as rec:
        assert rec.model_id == "untrained"
        assert [line.item_id for line in rec.recommend("v")] == ["a"]
    assert "of another version" in caplog.text
