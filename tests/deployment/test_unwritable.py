"""Stores on read-only or full disks open for reading, and refuse writes with what to do."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import nearline as nl
from nearline.errors import StorageFailed, StoreInUse
from nearline.log import lock
from nearline.log.unwritable import UnwritableLog, open_or_read

# Reads a store, and tries to write; root, who may write everywhere, becomes another user first.
PROGRAM = """
import os, sys, tempfile
import nearline as nl
from nearline.errors import StorageFailed
from nearline.log import unwritable
with tempfile.TemporaryDirectory() as folder, nl.Recommender(folder) as engine:
    engine.observe("ann", "tea")  # imports everything, which another user may not read
    engine.observe("bob", "cup")
    engine.recommend("ann")
    engine.put_item("tea", text="tea")
    engine.forget("ann").result()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with nl.Recommender(sys.argv[1]) as engine:
    print([past.item_id for past in engine.user("ann").history])
    print([line.item_id for line in engine.recommend("bob")])
    for write in (
        lambda: engine.observe("ann", "mug"),
        lambda: engine.put_item("mug", text="mug"),
        lambda: engine.patch_item("tea", {"text": "mug"}),
        lambda: engine.delete_item("tea").result(),
        lambda: engine.forget("ann").result(),
        lambda: engine.delete_event("e1").result(),
    ):
        try:
            write()
        except StorageFailed as error:
            assert "open the store again" in str(error), error
            print("refused")
"""


@pytest.fixture
def store() -> Iterator[Path]:
    """A store in a folder that other users can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    with nl.Recommender(folder / "store") as engine:
        for user, item in (("ann", "tea"), ("ann", "cup"), ("bob", "tea")):
            engine.observe(user, item)
        engine.put_item("tea", text="green tea")
    yield folder / "store"
    for path in (folder / "store", *(folder / "store").iterdir()):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_store_opens_for_reading(store: Path) -> None:
    for path in store.iterdir():
        path.chmod(0o555 if path.is_dir() else 0o444)
    store.chmod(0o555)
    before = sorted(path.name for path in store.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['cup', 'tea']", "['cup']", *(["refused"] * 6)]
    assert "open for reading only" in done.stderr
    assert sorted(path.name for path in store.iterdir()) == before


def test_a_log_without_a_lock_file_is_read_and_gives_the_reason(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(lock, "check_folder", full)
    log = open_or_read(store / "log.db")
    assert isinstance(log, UnwritableLog)
    assert len(log.events_of("ann")) == 2
    assert log.known(["x"]) == [False]
    with pytest.raises(StorageFailed, match=r"No space left .* free space"):
        log.append([])
    log.copy_to(store / "copy.db")
    log.close()
    monkeypatch.undo()
    with nl.Recommender(store) as engine:  # once the cause is gone
        engine.observe("ann", "mug")


def test_a_store_that_does_not_exist_yet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lock, "FileLock", _refuse)
        with pytest.raises(StorageFailed, match="cannot be written"):
            open_or_read(tmp_path / "store" / "log.db")


def test_a_store_in_use_is_not_opened_for_reading(store: Path) -> None:
    with nl.Recommender(store), pytest.raises(StoreInUse):
        open_or_read(store / "log.db")


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
