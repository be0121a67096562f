import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.state.naive_state import CONFIG, Log, folded, logs, view_of

from nearline.errors import Damaged
from nearline.schema import Event, Item, ItemDeleted
from nearline.state import (
    State,
    StateConfig,
    load_checkpoint,
    remove_unfinished,
    save_checkpoint,
)
from nearline.state.checkpoint import DIGEST_BYTES

LOG: Log = [
    (0, Event(user_id="ann", item_id="tea", timestamp=1.0)),
    (1, Event(user_id="bob", item_id="mug", timestamp=2.0, event="purchase")),
    (2, Item(item_id="mug", timestamp=3.0, title="Mug", categories=["cups"], vectors={"v": [0.5]})),
    (3, ItemDeleted(item_id="pot", timestamp=4.0)),
    (4, Event(user_id="ann", item_id="mug", timestamp=0.5, context={"land": "FR", "hour": 7})),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.checkpoint"


def saved(path: Path) -> bytes:
    assert save_checkpoint(folded(LOG), path, erasures=2) == 5
    return path.read_bytes()


def load(path: Path, config: StateConfig = CONFIG, erasures: int = 2, end: int = 5) -> State | None:
    return load_checkpoint(path, config, erasures, end)


@given(log=logs(), more=logs())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_loaded_state_equals_the_saved_one_and_continues_equally(
    log: Log, more: Log, path: Path
) -> None:
    state = folded(log)
    save_checkpoint(state, path, erasures=0)
    again = load_checkpoint(path, CONFIG, 0, state.offset)
    assert again is not None
    later = [(state.offset + at, record) for at, record in more]
    mine = [(at, r) for at, r in log + later if isinstance(r, Event) and r.user_id == "ann"]
    for step in (lambda s: None, lambda s: s.apply(later), lambda s: s.forget("ann", mine)):
        step(state)
        step(again)
        assert view_of(again) == view_of(state)
        assert again.items.table() == state.items.table()
        for ours, theirs in zip(again.counters.copy(), state.counters.copy(), strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_a_missing_file_gives_no_state(path: Path) -> None:
    assert load(path) is None


def test_every_flipped_byte_is_detected(path: Path) -> None:
    good = saved(path)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        with pytest.raises(Damaged, match="replay the whole log"):
            load(path)


def test_every_truncation_is_detected(path: Path) -> None:
    good = saved(path)
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(Damaged, match="replay the whole log"):
            load(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(Damaged, match="checksum"):
        load(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config": StateConfig(history_length=6)}, "another configuration"),
        ({"erasures": 3}, "has 2 erasures and the log has 3"),
        ({"end": 4}, r"offset 5 is beyond the end of the log \(4\)"),
    ],
)
def test_a_checkpoint_that_does_not_match_is_rejected(
    path: Path, change: dict[str, object], reason: str
) -> None:
    saved(path)
    with pytest.raises(Damaged, match=reason):
        load(path, **change)  # type: ignore[arg-type]
    assert load(path, end=99) is not None


def test_another_version_is_refused(path: Path) -> None:
    body = saved(path)[:-DIGEST_BYTES].replace(b"state 5", b"state 4")
    path.write_bytes(body + hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest())
    with pytest.raises(Damaged, match="format 5"):
        load(path)


def test_a_partial_file_is_ignored_and_removed(path: Path) -> None:
    good = saved(path)
    temporary = path.with_name(".state.checkpoint.tmp")
    temporary.write_bytes(good[:40])
    assert load(path) is not None
    saved(path)
    assert list(path.parent.iterdir()) == [path]


def test_the_file_of_a_killed_writer_can_be_removed(path: Path) -> None:
    good = saved(path)
    path.with_name(".state.checkpoint.tmp").write_bytes(good[:40])
    remove_unfinished(path)
    assert list(path.parent.iterdir()) == [path]
    remove_unfinished(path)


def test_a_failed_save_keeps_the_old_checkpoint(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        save_checkpoint(folded(LOG), path, erasures=0)
    assert list(path.parent.iterdir()) == [path]


def test_an_erased_user_is_not_in_the_file(path: Path) -> None:
    assert b"ann" in saved(path)
    state = folded(LOG)
    state.forget("ann", [(at, r) for at, r in LOG if isinstance(r, Event) and r.user_id == "ann"])
    save_checkpoint(state, path, erasures=1)
    assert b"ann" not in path.read_bytes()
