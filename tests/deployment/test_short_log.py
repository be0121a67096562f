"""A store whose log lacks records that a snapshot or the checkpoint reflects is not opened."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import nearline as nl
from nearline.errors import Damaged

CUTS: dict[str, Callable[[Path], None]] = {
    "of zero bytes": lambda path: os.truncate(path, 0),
    "that is gone": lambda path: path.unlink(),
    "without the last records": lambda path: run(path, "DELETE FROM log WHERE offset >= 40"),
    "without records": lambda path: run(path, "DELETE FROM log"),
}


def run(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def fill(rec: nl.Recommender) -> None:
    events = [
        nl.Event(user_id=f"u{n % 9}", item_id=f"i{n % 7}", timestamp=float(n)) for n in range(60)
    ]
    rec.append_events(events).result()


@pytest.fixture(scope="module", params=[True, False], ids=["trained", "untrained"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "store"
    with nl.Recommender(folder) as rec:
        fill(rec)
        if request.param:
            rec.fit()
    return folder


@pytest.mark.parametrize("cut", CUTS)
def test_a_shorter_log_is_refused_until_the_other_files_are_removed(
    store: Path, tmp_path: Path, cut: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(store, folder)
    CUTS[cut](folder / "log.db")
    for _ in range(2):  # the first attempt removes nothing
        with pytest.raises(Damaged, match=r"made from 60 records: log\.db was replaced or cut off"):
            nl.Recommender(folder)
    (folder / "state.checkpoint").unlink()
    shutil.rmtree(folder / "snapshots", ignore_errors=True)
    with nl.Recommender(folder) as rec:
        assert rec.offset in (0, 40)
        rec.observe("u1", "i1")


def test_a_snapshot_alone_shows_that_records_are_missing(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(store, folder)
    if not (folder / "snapshots").exists():
        pytest.skip("the store has no snapshot")
    (folder / "state.checkpoint").unlink()
    (folder / "log.db").unlink()
    with pytest.raises(Damaged, match=r"remove snapshots and state\.checkpoint"):
        nl.Recommender(folder)
