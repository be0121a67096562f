"""Sealed stores: what is on disk, erasure that reaches copies, conversion and wrong keys."""

import shutil
import signal
from pathlib import Path

import pytest
from tests.engine.shop import catalogue, clock, shop
from tests.forking import run_code

import nearline as nl
from nearline import sealing
from nearline.config import Config, read_settings
from nearline.deployment.sealing import seal_store
from nearline.errors import Damaged, InvalidInput
from nearline.log import open_log, url_of
from nearline.schema import Erased, Event
from nearline.sealing import finding
from nearline.sealing.seal import TOMBSTONE

KEY = "11" * 32
SEALED = Config(seal="env:NEARLINE_MASTER_KEY", least_people=0)
OPENED = Config(least_people=0)
SECRETS = [b"tea0", b"u-forgotten", b"green tea leaves", b"jasmine-words"]


def fill(rec: nl.Recommender) -> None:
    rec.add(shop(), items=catalogue())
    rec.put_item("tea-new", text="jasmine-words leaves")
    rec.put_user("u-forgotten", country="FR")
    for item in ("tea-0", "tea-1", "shoe-1"):
        rec.observe("u-forgotten", item)
        rec.observe("kept", item)


def answers(rec: nl.Recommender) -> list[object]:
    users = ["u-forgotten", "kept", "tea0", "shoe3", "nobody"]
    lists = [[*rec.recommend(user, k=9)] for user in users]
    return [lists, [*rec.similar("tea-1")], [*rec.popular()], rec.user("kept"), rec.offset]


def content(folder: Path, *, but: str = "snapshots") -> bytes:
    paths = (path for path in folder.rglob("*") if path.is_file() and but not in path.parts)
    return b"".join(path.read_bytes() for path in paths)


@pytest.mark.usefixtures("forked_jobs")
def test_a_sealed_store_answers_as_a_plain_one_and_hides_everything(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "plain", clock=clock) as plain:
        fill(plain)
        expected = answers(plain)
    store = tmp_path / "sealed"
    with nl.Recommender(store, config=SEALED, clock=clock) as rec:
        fill(rec)
        assert answers(rec) == expected
        rec.jobs.wait(rec.checkpoint().id)
        on_disk = content(store)
    for secret in SECRETS:
        assert secret in content(tmp_path / "plain")
        assert secret not in on_disk
        assert secret not in content(store)
    with nl.Recommender(store, config=OPENED, clock=clock) as again:  # the environment has the key
        assert answers(again) == expected
        assert again._current.deployment.log.seal is not None
    (store / "state.checkpoint").write_bytes(b"half")
    with nl.Recommender(store, config=OPENED, clock=clock) as replayed:
        assert answers(replayed) == expected


def test_copies_from_before_an_erasure_forget_too(tmp_path: Path) -> None:
    store, copy = tmp_path / "shop", tmp_path / "copy"
    with nl.Recommender(store, config=SEALED, clock=clock) as rec:
        fill(rec)
        before = {user: rec.user(user) for user in ("kept", "tea0")}
    shutil.copytree(store, copy)
    with nl.Recommender(store, clock=clock) as rec:
        assert rec.forget("u-forgotten").result() == 4
        rec.observe("u-forgotten", "shoe-2")  # later records have another key
        rec.observe("kept", "shoe-2")
    with nl.Recommender(store, clock=clock) as rec:
        assert [event.item_id for event in rec.user("u-forgotten").history] == ["shoe-2"]
        rec.forget("u-forgotten").result()
    shutil.copy(store / "keys.db", copy / "keys.db")
    finding._unlocked.clear()
    with open_log(url_of(copy / "log.db"), read_only=True) as log:
        records = [record for _, record in log.read()]
    assert sum(isinstance(record, Erased) for record in records) == 4
    users = {record.user_id for record in records if isinstance(record, Event)}
    assert "kept" in users
    assert "u-forgotten" not in users
    with nl.Recommender(copy, clock=clock) as restored:
        assert {user: restored.user(user) for user in before} == before
        assert restored._current.deployment.state.history("u-forgotten") is None


def test_a_wrong_or_missing_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store, config=SEALED, clock=clock) as rec:
        rec.observe("u", "i")
    finding._unlocked.clear()
    monkeypatch.setenv("NEARLINE_MASTER_KEY", "22" * 32)
    with pytest.raises(InvalidInput, match="is not the one of"):
        nl.Recommender(store)
    monkeypatch.setenv("NEARLINE_MASTER_KEY", "short")
    with pytest.raises(InvalidInput, match="does not give 32 bytes"):
        nl.Recommender(store)
    monkeypatch.delenv("NEARLINE_MASTER_KEY")
    with pytest.raises(InvalidInput, match="openssl rand"):
        nl.Recommender(store)
    monkeypatch.setenv("NEARLINE_MASTER_KEY", KEY)
    (store / "keys.db").rename(store / "keys.old")
    with pytest.raises(InvalidInput, match="missing"):
        nl.Recommender(store)
    sealing.make_keys(store, "env:NEARLINE_MASTER_KEY")
    with pytest.raises(InvalidInput, match="keys of another"):
        nl.Recommender(store)
    (store / "keys.old").rename(store / "keys.db")
    finding._unlocked.clear()
    with nl.Recommender(store, clock=clock) as rec:
        assert [event.item_id for event in rec.user("u").history] == ["i"]


@pytest.mark.usefixtures("forked_jobs")
def test_rotation_while_the_store_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, new = tmp_path / "shop", tmp_path / "new.key"
    new.write_text("33" * 32 + "\n")
    with nl.Recommender(store, config=SEALED, clock=clock) as rec:
        rec.observe("u", "i")
        sealing.rotate(store / "keys.db", "env:NEARLINE_MASTER_KEY", f"file:{new}")
        rec.observe("v", "i")
        rec.jobs.wait(rec.checkpoint().id)
    finding._unlocked.clear()
    with pytest.raises(InvalidInput, match="is not the one of"):
        nl.Recommender(store)
    monkeypatch.setenv("NEARLINE_SEAL", f"file:{new}")
    with nl.Recommender(store, clock=clock) as rec:
        assert rec.n_users == 2


def test_a_plain_store_is_converted(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store, config=OPENED, clock=clock) as rec:
        fill(rec)
        rec.forget("tea0").result()
        rec.observe("kept", "shoe-3", event_id="e")
        expected = answers(rec)
    with pytest.raises(InvalidInput, match="nearline seal --store"):
        nl.Recommender(store, config=SEALED)
    assert seal_store(store, "env:NEARLINE_MASTER_KEY") == expected[-1]
    assert seal_store(store, "env:NEARLINE_MASTER_KEY") == expected[-1]  # nothing is left to do
    for secret in SECRETS:
        assert secret not in content(store)
    with nl.Recommender(store, config=OPENED, clock=clock) as rec:
        assert answers(rec) == expected
        assert rec.observe("kept", "shoe-3", event_id="e").duplicates == 1
        assert rec.forget("u-forgotten").result() == 4


CONVERT = """
import os, sys
from pathlib import Path
from nearline.deployment import sealing
steps = int(sys.argv[2])
def counted(function):
    def call(*given, **named):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), 9)
        return function(*given, **named)
    return call
for name in ("make_keys", "_write_sealed", "sync_path", "_finish", "forget_examples"):
    setattr(sealing, name, counted(getattr(sealing, name)))
os.link, os.fsync = counted(os.link), counted(os.fsync)
sealing.seal_store(Path(sys.argv[1]), "env:NEARLINE_MASTER_KEY")
"""


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 6, 7])
def test_a_killed_conversion_loses_nothing(tmp_path: Path, steps: int) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store, config=OPENED, clock=clock) as rec:
        fill(rec)
        expected = answers(rec)
    assert run_code(CONVERT, store, steps) in (-signal.SIGKILL, 0)
    with nl.Recommender(store, config=OPENED, clock=clock) as rec:
        assert answers(rec) == expected
    seal_store(store, "env:NEARLINE_MASTER_KEY")
    for secret in SECRETS:
        assert secret not in content(store)
    with nl.Recommender(store, config=OPENED, clock=clock) as rec:
        assert answers(rec) == expected


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    seal = sealing.Seal(sealing.create_keys(path, "env:NEARLINE_MASTER_KEY"))
    (payload,) = seal.payloads(["u"], [b"payload"])
    assert seal.opened(payload) == b"payload"
    for at in range(1, len(payload)):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        with pytest.raises(Damaged):
            seal.opened(changed)
    seal.close()


def test_each_owner_keeps_one_key(tmp_path: Path) -> None:
    unlocked = sealing.create_keys(tmp_path / "keys.db", "env:NEARLINE_MASTER_KEY")
    owners = [f"u{n}" for n in range(1_500)]
    seal = sealing.Seal(unlocked)
    first = [held.id for held in seal.keys.of([*owners, "u7", "u0"])]
    assert len(set(first)) == len(owners)
    assert first[-2:] == [first[7], first[0]]
    seal.close()
    seal = sealing.Seal(unlocked)
    assert [held.id for held in seal.keys.of([*owners, "u7", "u0"])] == first
    seal.keys.retire("u7")
    changed = [held.id for held in seal.keys.of(["u6", "u7", "u8"])]
    assert changed[::2] == [first[6], first[8]]
    assert changed[1] not in first
    payloads = seal.payloads(["u6", None, "u7", "u6"], [b"a", b"", b"ccc", b"dd"])
    assert [seal.opened(one) for one in payloads] == [b"a", b"", b"ccc", b"dd"]
    assert payloads[0][:9] == payloads[3][:9]
    assert len({one[:9] for one in payloads}) == 3
    seal.keys.destroy("u6", [first[6]])
    assert seal.opened(payloads[3]) == TOMBSTONE
    assert seal.keys.current("u6") is None
    seal.close()


def test_a_file_of_settings_names_no_command(tmp_path: Path) -> None:
    (tmp_path / "nearline.toml").write_text('seal = "command:cat key"\n')
    with pytest.raises(InvalidInput, match="must not"):
        read_settings(tmp_path, None)


def test_sources(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    for source in (f"file:{tmp_path}/key", f"command:cat {tmp_path}/key"):
        assert sealing.master_key(source) == bytes.fromhex(KEY)
    for source in ("", "env:", "file:/none", "command:false", "command:", "x:y", "env:NONE_SUCH"):
        with pytest.raises(InvalidInput, match="env:NAME"):
            sealing.master_key(source)
