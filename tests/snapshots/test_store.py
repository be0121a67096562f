"""The snapshot store: atomic writes, the newest intact snapshot, promotion and rollback."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from safetensors.numpy import save_file

from nearline.errors import Damaged, DataNotFound, InvalidInput, NotTrained
from nearline.snapshots import Manifest, SnapshotStore, build
from nearline.snapshots.arrays import describe
from nearline.snapshots.manifest import encode, id_of

IDS = ["i1", "i2", "i3"]


def arrays(offset: int) -> dict[str, np.ndarray[Any, Any]]:
    return {
        "weights": np.array([1.0, 2.0, float(offset)], dtype=np.float32),
        "indptr": np.array([0, 1, 2, 3], dtype=np.int64),
    }


def manifest(offset: int) -> Manifest:
    return build(
        model="item_graph",
        config={"shrinkage": 10.0},
        arrays=arrays(offset),
        item_ids=IDS,
        offset=offset,
        erasures=0,
        seed=0,
        metrics={"ndcg@10": 0.5},
        data_until=1.7e9,
    )


def write(store: SnapshotStore, offset: int) -> str:
    made = manifest(offset)
    store.write(made, arrays(offset), IDS)
    return made.id


def promoted(store: SnapshotStore, *offsets: int) -> list[str]:
    ids = [write(store, offset) for offset in offsets]
    for snapshot_id in ids:
        store.promote(snapshot_id)
    return ids


def damage(store: SnapshotStore, snapshot_id: str) -> None:
    path = store.folder / snapshot_id / "arrays.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "shop" / "snapshots")


def test_a_written_snapshot_can_be_loaded(store: SnapshotStore) -> None:
    snapshot = store.load(write(store, 5))
    assert snapshot.manifest == manifest(5)
    assert snapshot.item_ids == IDS
    assert snapshot.arrays.keys() == {"weights", "indptr"}
    assert snapshot.arrays["weights"].tolist() == [1.0, 2.0, 5.0]
    assert not snapshot.arrays["weights"].flags.writeable


def test_reading_an_empty_store_does_not_create_its_folder(store: SnapshotStore) -> None:
    assert store.current() is None
    assert store.promoted() == []
    assert store.manifests() == []
    assert store.prune(1) == []
    assert not store.folder.exists()
    with pytest.raises(NotTrained, match="before the current one"):
        store.rollback()


def test_two_stores_have_the_same_bytes(store: SnapshotStore, tmp_path: Path) -> None:
    other = SnapshotStore(tmp_path / "other")
    promoted(store, 5, 6)
    promoted(other, 5, 6)
    assert contents(store.folder) == contents(other.folder)
    assert len(contents(store.folder)) == 5


def test_both_files_have_the_same_permissions(store: SnapshotStore) -> None:
    folder = store.folder / write(store, 5)
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_writing_again_changes_nothing(store: SnapshotStore) -> None:
    folder = store.folder / write(store, 5)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write(store, 5)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_writing_again_repairs_a_damaged_snapshot(store: SnapshotStore) -> None:
    snapshot_id = write(store, 5)
    damage(store, snapshot_id)
    assert write(store, 5) == snapshot_id
    assert store.load(snapshot_id).item_ids == IDS
    assert [path.name for path in store.folder.iterdir()] == [snapshot_id]


def test_arrays_of_another_manifest_are_rejected(store: SnapshotStore) -> None:
    for wrong, ids in ((arrays(6), IDS), (arrays(5), IDS[:2])):
        with pytest.raises(InvalidInput, match="not those that snapshot"):
            store.write(manifest(5), wrong, ids)
    assert not store.folder.exists()


def test_partial_writes_are_ignored_and_pruned(store: SnapshotStore) -> None:
    (kept,) = promoted(store, 5)
    left = store.folder / ".writing-crashed" / "fresh"
    left.mkdir(parents=True)
    (left / "manifest.json").write_bytes(b"{")
    (store.folder / "notes.txt").write_text("somebody's own")
    assert [made.id for made in store.manifests()] == [kept]
    current = store.current()
    assert current is not None
    assert current.manifest.id == kept
    assert store.prune(1) == []
    assert {path.name for path in store.folder.iterdir()} == {kept, "PROMOTED", "notes.txt"}


def test_a_failed_write_leaves_nothing(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nearline.snapshots.store.write_arrays", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write(store, 5)
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize(
    "snapshot_id",
    ["", ".", "..", "../../etc", "/etc/passwd", "PROMOTED", "0" * 15, "0" * 17, "0" * 16 + "\n",
     "ABCDEF0123456789", "0" * 15 + "/"],
)  # fmt: skip
def test_an_invalid_id_never_becomes_a_path(store: SnapshotStore, snapshot_id: str) -> None:
    write(store, 5)
    for call in (store.load, store.promote):
        with pytest.raises(InvalidInput, match="16 hex digits"):
            call(snapshot_id)


def test_unknown_snapshot(store: SnapshotStore) -> None:
    with pytest.raises(DataNotFound, match="no snapshot 0000000000000000"):
        store.load("0" * 16)


def test_has_and_written_report_existence_and_time(store: SnapshotStore) -> None:
    snapshot_id = write(store, 1)
    os.utime(store.folder / snapshot_id / "manifest.json", (5.0, 5.0))
    assert (store.has(snapshot_id), store.written(snapshot_id)) == (True, 5.0)
    assert (store.has("0" * 16), store.written("0" * 16)) == (False, 0.0)


def test_a_snapshot_does_not_serve_before_it_is_promoted(store: SnapshotStore) -> None:
    snapshot_id = write(store, 5)
    assert store.current() is None
    assert store.promote(snapshot_id).manifest.id == snapshot_id
    store.promote(snapshot_id)
    assert store.promoted() == [snapshot_id]
    assert (store.folder / "PROMOTED").read_text() == f"{snapshot_id}\n"


def test_a_damaged_snapshot_is_not_promoted(store: SnapshotStore) -> None:
    (good,) = promoted(store, 5)
    bad = write(store, 6)
    damage(store, bad)
    with pytest.raises(Damaged, match="array"):
        store.promote(bad)
    assert store.promoted() == [good]


def current_id(store: SnapshotStore) -> str:
    snapshot = store.current()
    assert snapshot is not None
    return snapshot.manifest.id


def test_the_newest_intact_snapshot_serves(
    store: SnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = promoted(store, 5, 6, 7)
    damage(store, third)
    (store.folder / second / "manifest.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert current_id(store) == first
    assert [third in problem for problem in store.problems] == [True, False]
    assert "manifest.json" in store.problems[1]
    assert "arrays.safetensors" in store.problems[0]
    assert len(caplog.records) == 2
    shutil.rmtree(store.folder / first)
    assert store.current() is None
    assert len(store.problems) == 3


def test_problems_are_those_of_the_last_search(store: SnapshotStore) -> None:
    _, second = promoted(store, 5, 6)
    damage(store, second)
    store.current()
    assert len(store.problems) == 1
    write(store, 6)
    assert current_id(store) == second
    assert store.problems == []


def test_rollback_goes_back_step_by_step(store: SnapshotStore) -> None:
    first, second, third = promoted(store, 5, 6, 7)
    assert store.rollback().manifest.id == second
    assert current_id(store) == second
    assert store.rollback().manifest.id == first
    with pytest.raises(NotTrained):
        store.rollback()
    assert current_id(store) == first
    store.promote(third)
    assert store.promoted() == [first, third]
    assert store.rollback().manifest.id == first


def test_rollback_starts_from_the_serving_snapshot(store: SnapshotStore) -> None:
    first, second, third = promoted(store, 5, 6, 7)
    damage(store, third)
    assert current_id(store) == second
    assert store.rollback().manifest.id == first


def test_rollback_goes_to_another_snapshot(store: SnapshotStore) -> None:
    first, second = promoted(store, 5, 6)
    store.promote(first)
    damage(store, second)
    assert store.promoted() == [first, second, first]
    with pytest.raises(NotTrained):
        store.rollback()


def test_manifests_are_listed_by_offset(
    store: SnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    late, early, broken = write(store, 9), write(store, 5), write(store, 7)
    (store.folder / broken / "manifest.json").write_bytes(b"{}")
    with caplog.at_level(logging.WARNING):
        assert [made.id for made in store.manifests()] == [early, late]
    assert broken in caplog.text


def test_prune_keeps_the_newest_intact_snapshots(store: SnapshotStore) -> None:
    ids = promoted(store, 5, 6, 7, 8)
    never = write(store, 9)
    damage(store, ids[3])
    assert set(store.prune(2)) == {ids[0], ids[3], never}
    assert store.promoted() == ids[1:3]
    assert [made.id for made in store.manifests()] == ids[1:3]
    assert current_id(store) == ids[2]


def test_prune_waits_while_another_snapshot_is_being_written(store: SnapshotStore) -> None:
    (first,) = promoted(store, 5)
    temporary = store.folder / ".writing-other"
    with store.writing():
        with store.writing():
            temporary.mkdir()
            unpromoted = write(store, 6)
            assert store.prune(1) == []
        assert store.has(unpromoted)
        assert temporary.exists()
    assert not store.has(unpromoted)
    assert not temporary.exists()
    assert store.has(first)


def test_pruned_snapshots_stay_readable_while_mapped(store: SnapshotStore) -> None:
    first, _ = promoted(store, 5, 6)
    serving = store.load(first)
    assert store.prune(1) == [first]
    assert serving.arrays["weights"].tolist() == [1.0, 2.0, 5.0]


def test_prune_removes_nothing_without_an_intact_snapshot(store: SnapshotStore) -> None:
    (only,) = promoted(store, 5)
    damage(store, only)
    write(store, 6)
    assert store.prune(1) == []
    assert len(store.manifests()) == 2
    with pytest.raises(InvalidInput, match="keep is 0"):
        store.prune(0)


def test_garbage_in_the_promotion_history_is_ignored(store: SnapshotStore) -> None:
    (good,) = promoted(store, 5)
    with (store.folder / "PROMOTED").open("ab") as file:
        file.write(b"../../etc\n\xff\xfe\n\n")
    assert current_id(store) == good


def test_a_snapshot_under_a_wrong_name_is_damaged(store: SnapshotStore) -> None:
    snapshot_id = write(store, 5)
    (store.folder / snapshot_id).rename(store.folder / ("0" * 16))
    with pytest.raises(Damaged, match=f"is that of snapshot {snapshot_id}"):
        store.load("0" * 16)


def test_an_oversized_manifest_is_damaged(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_id = write(store, 5)
    monkeypatch.setattr("nearline.snapshots.store.MAX_MANIFEST_BYTES", 100)
    with pytest.raises(Damaged, match="more than 100 bytes"):
        store.load(snapshot_id)


def forge(store: SnapshotStore, content: dict[str, np.ndarray[Any, Any]]) -> str:
    """Write a snapshot whose hashes are all right, whatever the content."""
    specs = {name: describe(array) for name, array in content.items()}
    forged = structs.replace(manifest(5), arrays=specs)
    forged = structs.replace(forged, id=id_of(forged))
    folder = store.folder / forged.id
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(encode(forged))
    save_file(content, folder / "arrays.safetensors")
    return forged.id


def test_invalid_content_with_correct_hashes_is_damaged(store: SnapshotStore) -> None:
    with pytest.raises(Damaged, match="has no item ids"):
        store.load(forge(store, {"weights": np.ones(3)}))
    ids = {"item_ids.bytes": np.zeros(1, np.uint8), "item_ids.starts": np.array([0, 1])}
    with pytest.raises(Damaged, match="do not cut into 3 ids"):
        store.load(forge(store, ids))
    with pytest.raises(Damaged, match="array weights holds a value that is not finite"):
        store.load(forge(store, {**ids, "weights": np.array([np.nan])}))


def test_untrained_snapshot_without_items(store: SnapshotStore) -> None:
    empty = build(
        model="popular",
        config={},
        arrays={"counts": np.zeros(0, dtype=np.int64)},
        item_ids=[],
        offset=0,
        erasures=0,
        seed=0,
        metrics={},
        data_until=None,
    )
    store.write(empty, {"counts": np.zeros(0, dtype=np.int64)}, [])
    loaded = store.promote(empty.id)
    assert loaded.item_ids == []
    assert loaded.arrays["counts"].shape == (0,)
