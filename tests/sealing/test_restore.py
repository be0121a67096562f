"""A backup from before an erasure is restored: the forgotten stay unreadable, the rest is whole."""

import shutil
from pathlib import Path

import pytest
from tests.engine.shop import clock

import nearline as nl
from nearline.config import Config
from nearline.deployment.backup import backup, restore
from nearline.errors import InvalidInput
from nearline.log import open_log, url_of
from nearline.log.archive import archive_log
from nearline.schema import Erased
from nearline.sealing import KEYS, Unlocked, finding
from nearline.sealing.keys import SealingKeys
from nearline.sealing.seal import SEALED, key_of

CANARIES = [b"gone-person", b"secret-thing", b"canary-land"]


def raw(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_backup_from_before_an_erasure(tmp_path: Path) -> None:
    store, copy, back = tmp_path / "shop", tmp_path / "copy", tmp_path / "back"
    config = Config(seal="env:NEARLINE_MASTER_KEY")
    with nl.Recommender(store, config=config, clock=clock) as rec:
        for user in ("kept", "gone-person"):
            rec.observe(user, "secret-thing" if user == "gone-person" else "tea", event_id=user)
            rec.observe(user, "pot")
        rec.put_user("gone-person", place="canary-land")
        before = rec.user("kept")
        backup(store, copy)
        assert rec.forget("gone-person").result() == 3
    shutil.copy(store / KEYS, copy / KEYS)
    finding._unlocked.clear()
    restored = restore(copy, back)
    assert restored.offset == 5
    for folder in (copy, back):
        content = raw(folder)
        assert not [one for one in CANARIES if one in content]
    with open_log(url_of(back / "log.db"), read_only=True) as log:
        records = [record for _, record in log.read()]
        assert log.seal is not None
    assert sum(isinstance(record, Erased) for record in records) == 3
    with nl.Recommender(back, clock=clock) as rec:
        assert rec.user("kept") == before
        assert rec.observe("kept", "tea", event_id="kept").duplicates == 1
        assert rec._current.deployment.state.history("gone-person") is None
    assert not [one for one in CANARIES if one in raw(back)]


def test_no_key_opens_the_records_of_the_forgotten(tmp_path: Path) -> None:
    """Even with the root key, and with every key that is left."""
    store = tmp_path / "shop"
    config = Config(seal="env:NEARLINE_MASTER_KEY")
    with nl.Recommender(store, config=config, clock=clock) as rec:
        rec.observe("gone-person", "secret-thing")
        rec.observe("kept", "tea")
        backup(store, tmp_path / "copy")
        rec.forget("gone-person").result()
        unlocked: Unlocked = finding._unlocked[str(store / KEYS)]
    import apsw

    db = apsw.Connection(str(tmp_path / "copy" / "log.db"))
    payloads = [row[0] for row in db.execute("SELECT payload FROM log ORDER BY offset")]
    db.close()
    keys = SealingKeys(unlocked)
    assert [payload[0] for payload in payloads] == [SEALED, SEALED]
    assert keys.cipher(key_of(payloads[0])) is None
    assert keys.cipher(key_of(payloads[1])) is not None
    keys.close()


def test_sealed_stores_are_not_written_to_plain_places(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store, config=Config(seal="env:NEARLINE_MASTER_KEY")) as rec:
        rec.observe("u", "i")
        backup(store, tmp_path / "copy")
    shutil.copy(store / KEYS, tmp_path / "copy" / KEYS)
    with (
        open_log(url_of(store / "log.db"), read_only=True) as log,
        pytest.raises(InvalidInput, match="nearline backup"),
    ):
        archive_log(log, tmp_path / "archive")
    with pytest.raises(InvalidInput, match="name a folder"):
        restore(tmp_path / "copy", "postgresql://nobody@localhost/none")
