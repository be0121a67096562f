"""Sealed stores: what is kept beside the log is not readable, in the store and in old copies."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.engine.shop import clock
from tests.forking import run_code

import nearline as nl
from nearline import sealing
from nearline.cli import main
from nearline.config import Config
from nearline.deployment.sealing import seal_store
from nearline.encoders import VectorCache
from nearline.errors import SourceFailed
from nearline.ingest import quarantine as quarantine_module
from nearline.ingest.quarantine import Quarantine
from nearline.ingest.quarantine_rows import KEPT_BYTES
from nearline.schema.sources import Message
from nearline.sealing import finding
from nearline.sealing.keys import SealingKeys
from nearline.testing.inspector import inspect

SEALED = Config(seal="env:NEARLINE_MASTER_KEY", least_people=0)
SECRETS = [b"gone-person", b"kept-person", b"clicks-of", b"why-not", b"msg-key"]


def raw(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def failed(position: int, user: str, reason: str = "why-not") -> tuple[Message, str]:
    value = f'{{"user": "{user}"}}'.encode()
    message = Message("clicks-of.ndjson", position, position + 1, value, b"msg-key", 5.0)
    return message, f"{reason}: {user}"


def fill(table: Quarantine) -> None:
    table.add("file:clicks-of", [failed(0, "gone-person"), failed(1, "kept-person")], 1.0)
    table.add("file:clicks-of", [failed(1, "kept-person"), failed(2, "kept-person")], 2.0)
    table.add("kafka:other", [failed(0, "kept-person")], 3.0)


def seen(table: Quarantine) -> list[object]:
    return [
        [one._replace(id=0) for one in table.messages()],
        [one.position for one in table.messages("file:clicks-of", limit=2)],
        table.counts(),
    ]


def test_a_sealed_quarantine_does_as_a_plain_one_and_hides_its_messages(tmp_path: Path) -> None:
    plain = Quarantine(None)
    fill(plain)
    with nl.Recommender(tmp_path / "shop", config=SEALED, clock=clock) as rec:
        fill(rec.quarantine)
        assert seen(rec.quarantine) == seen(plain)
        ids = [one.id for one in rec.quarantine.messages()]
        after = rec.quarantine.messages(after=ids[1])
        assert [one.id for one in after] == ids[2:]
        assert not [one for one in SECRETS if one in raw(tmp_path)]
        for table in (plain, rec.quarantine):
            table.remove([table.messages()[1].id])
            assert [one.position for one in table.messages()] == [0, 2, 0]
            assert table.drop("kafka:other") == 1
            assert [one.position for one in table.messages()] == [0, 2]
        expected = seen(plain)
    finding._unlocked.clear()
    with nl.Recommender(tmp_path / "shop", clock=clock) as rec:
        assert seen(rec.quarantine) == expected
        assert rec.quarantine.drop() == 2
        assert rec.quarantine.messages() == []
        assert rec.quarantine.counts() == []


def test_copies_of_the_quarantine_forget_erased_users(tmp_path: Path) -> None:
    store, copy = tmp_path / "shop", tmp_path / "copy"
    with nl.Recommender(store, config=SEALED, clock=clock) as rec:
        rec.observe("gone-person", "tea")
        fill(rec.quarantine)
        (cut,) = [("kept-person", b"x" * (KEPT_BYTES + 1))]
        rec.quarantine.add("long", [(Message("p", 9, 10, cut[1], None, None), "too long")], 4.0)
    shutil.copytree(store, copy)
    with nl.Recommender(store, clock=clock) as rec:
        assert rec.forget("gone-person").result() == 1
        left = seen(rec.quarantine)
        assert [one.position for one in rec.quarantine.messages()] == [1, 2, 0]
        assert not [one for one in SECRETS if one in raw(store)]
    shutil.copy(store / "keys.db", copy / "keys.db")
    finding._unlocked.clear()
    with nl.Recommender(copy, clock=clock) as restored:
        assert seen(restored.quarantine) == left
        # The message of the erased user is there, and its key is not: it is removed for good.
        assert restored.quarantine.drop() == 5
    assert not [one for one in SECRETS if one in raw(copy)]


def test_a_message_whose_key_is_destroyed_before_a_kill_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nl.Recommender(tmp_path / "shop", config=SEALED, clock=clock) as rec:
        fill(rec.quarantine)
        first = rec.quarantine.messages()[0].id
        whole = SealingKeys.overwrite

        def stopped(self: SealingKeys, *given: object) -> None:
            whole(self, *given)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(SealingKeys, "overwrite", stopped)
            with pytest.raises(KeyboardInterrupt):
                rec.quarantine.remove([first])
        assert [one.position for one in rec.quarantine.messages()] == [1, 2, 0]


def test_the_limit_holds_in_a_sealed_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_module, "MAX_MESSAGES", 4)
    with nl.Recommender(tmp_path / "shop", config=SEALED, clock=clock) as rec:
        fill(rec.quarantine)
        with pytest.raises(SourceFailed, match="4 messages"):
            rec.quarantine.add("kafka:other", [failed(1, "kept-person")], 3.0)


@pytest.mark.parametrize("by_command", [True, False])
def test_a_plain_quarantine_is_sealed(tmp_path: Path, by_command: bool) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store, clock=clock) as rec:
        rec.observe("u", "tea")
        fill(rec.quarantine)
        expected = seen(rec.quarantine)
    before = (store / "quarantine.db").read_bytes()
    assert b"gone-person" in raw(store)
    seal_store(store, "env:NEARLINE_MASTER_KEY")
    if not by_command:  # a sealed store whose quarantine is plain
        (store / "quarantine.db").write_bytes(before)
    with nl.Recommender(store, clock=clock) as rec:
        assert seen(rec.quarantine) == expected
        assert not [one for one in SECRETS if one in raw(store)]
    assert not [path for path in store.iterdir() if path.name.startswith("quarantine.db.")]


CONVERT = """
import os, sys
from pathlib import Path
from nearline import sealing
from nearline.ingest import quarantine
steps = int(sys.argv[2])
def counted(function):
    def call(*given, **named):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), 9)
        return function(*given, **named)
    return call
quarantine.os.link = counted(os.link)
quarantine.sync_path = counted(quarantine.sync_path)
quarantine.overwrite = counted(quarantine.overwrite)
quarantine._connect = counted(quarantine._connect)
store = Path(sys.argv[1])
seal = sealing.Seal(sealing.make_keys(store, "env:NEARLINE_MASTER_KEY"))
table = quarantine.Quarantine(store, seal)
table.seal()
"""


@pytest.mark.parametrize("steps", range(7))
def test_a_killed_conversion_loses_no_message(tmp_path: Path, steps: int) -> None:
    plain = Quarantine(tmp_path)
    fill(plain)
    expected = seen(plain)
    plain.close()
    assert run_code(CONVERT, tmp_path, steps) == (-signal.SIGKILL if steps < 6 else 0)
    table = Quarantine(tmp_path, seal_of(tmp_path))
    assert seen(table) == expected
    table.close()
    assert not [one for one in SECRETS if one in raw(tmp_path)]


def seal_of(folder: Path) -> sealing.Seal:
    return sealing.Seal(sealing.make_keys(folder, "env:NEARLINE_MASTER_KEY"))


def test_the_command_lists_a_sealed_quarantine_beside_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nl.Recommender(tmp_path / "shop", config=SEALED, clock=clock) as rec:
        fill(rec.quarantine)
        finding._unlocked.clear()
        main(["quarantine", "list", "--store", str(tmp_path / "shop")], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "gone-person" in shown
    assert "kafka:other" in shown


def test_vectors_of_texts_are_sealed(tmp_path: Path) -> None:
    """The bytes of a vector are not in the file, and another key does not find the text."""
    vectors = np.arange(16, dtype=np.float32).reshape(2, 8) + 1.0
    plain = VectorCache(tmp_path / "vectors.db")
    plain.add("m", ["green tea"], vectors[:1])
    plain.close()
    bytes_of = [row.tobytes() for row in vectors]
    assert bytes_of[0] in raw(tmp_path)

    unlocked = finding.make_keys(tmp_path, "env:NEARLINE_MASTER_KEY")
    cache = VectorCache(tmp_path / "vectors.db")
    cache.seal()
    assert not [one for one in bytes_of if one in raw(tmp_path)]
    cache.add("m", ["black tea"], vectors[1:])
    found = cache.get("m", ["green tea", "black tea", "no tea"])
    assert {text: row.tolist() for text, row in found.items()} == {
        "green tea": vectors[0].tolist(),
        "black tea": vectors[1].tolist(),
    }
    assert cache.get("other", ["green tea"]) == {}
    cache.close()
    assert not [one for one in bytes_of if one in raw(tmp_path)]

    again = VectorCache(tmp_path / "vectors.db")
    assert len(again.get("m", ["green tea", "black tea"])) == 2
    again.close()
    assert str(tmp_path / "keys.db") == unlocked.path
    (tmp_path / "keys.db").unlink()
    finding._unlocked.clear()
    finding.make_keys(tmp_path, "env:NEARLINE_MASTER_KEY")  # another root key
    other = VectorCache(tmp_path / "vectors.db")
    assert other.get("m", ["green tea", "black tea"]) == {}
    other.close()


def test_a_changed_vector_is_encoded_again(tmp_path: Path) -> None:
    finding.make_keys(tmp_path, "env:NEARLINE_MASTER_KEY")
    cache = VectorCache(tmp_path / "vectors.db")
    cache.add("m", ["tea"], np.ones((1, 4), dtype=np.float32))
    cache._connection.execute("UPDATE vectors SET vector = zeroblob(length(vector))")
    assert cache.get("m", ["tea"]) == {}
    cache.close()


def test_a_sealed_store_keeps_no_example_of_an_import(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "user_id": ["u", "gone-person"],
            "item_id": ["tea", "tea"],
            "timestamp": ["2024-01-01", "no-time-at-all"],
        }
    )
    for name, config in (("plain", Config()), ("sealed", SEALED)):
        with nl.Recommender(tmp_path / name, config=config) as rec:
            rec.add(rows)
            assert inspect(rec).state.offset >= 1
    assert b"no-time-at-all" in (tmp_path / "plain" / "imports.json").read_bytes()
    assert b"no-time-at-all" not in raw(tmp_path / "sealed")
