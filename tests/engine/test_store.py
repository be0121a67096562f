"""Stores, training and snapshots of the engine in Python."""

from pathlib import Path

import pyarrow as pa
import pytest
from tests.engine.shop import catalogue, clock, ids, shop

import nearline as nl
from nearline.errors import (
    Closed,
    InvalidInput,
    StoreInUse,
)
from nearline.snapshots import SnapshotStore, build
from nearline.testing.inspector import inspect


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
    assert "written by another version" in caplog.text
