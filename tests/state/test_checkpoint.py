import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
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
from nearline.state.checkpoint import DIGEST_BYTES, _parts, _read

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
        ({"end": 4}, "offset 5 is not within the log, which ends at 4"),
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
    body = saved(path)[:-DIGEST_BYTES].replace(b"state 7", b"state 5")
    path.write_bytes(body + hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest())
    with pytest.raises(Damaged, match="format 7"):
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


# A file with a correct checksum whose parts do not fit together, as a faulty program could write.
UNFIT: dict[str, Callable[[dict[str, Any]], object]] = {
    "histories.indptr": lambda found: found["histories.indptr"][::-1].copy(),
    "histories.items": lambda found: found["histories.items"] + 1_000,
    "histories.weights": lambda found: found["histories.weights"] * np.float32(np.nan),
    "histories.times": lambda found: found["histories.times"][:-1],
    "histories.arrived": lambda found: found["histories.arrived"] * 0,
    "histories.opposed": lambda found: found["histories.opposed"][:-1],
    "counters.totals": lambda found: -found["counters.totals"],
    "counters.high": lambda found: found["counters.high"].astype(np.float16),
    "counters.landmark": lambda found: found["counters.landmark"][:1],
    "contexts.indptr": lambda found: found["contexts.indptr"] + 1,
    "contexts.items": lambda found: found["contexts.items"] - 100,
    "contexts.priorities": lambda found: found["contexts.priorities"] + 2**62,
    "contexts.since": lambda found: found["contexts.since"][:-1],
    "available": lambda found: found["available"][:-1],
    "items": lambda found: np.frombuffer(msgspec.msgpack.encode(["tea", None]), np.uint8),
    "users": lambda found: np.frombuffer(b"\xff\xff", np.uint8),
    "entries": lambda found: np.frombuffer(msgspec.msgpack.encode({99: {}}), np.uint8),
    "vectors": lambda found: np.zeros(7),
}


@pytest.mark.parametrize("name", UNFIT)
def test_parts_that_do_not_fit_together_are_refused(path: Path, name: str) -> None:
    saved(path)
    header, sections = _read(memoryview(path.read_bytes()), path)
    changed: Any = UNFIT[name](sections)
    sections[name] = changed
    shown = [(key, array.dtype.str, len(array)) for key, array in sections.items()]
    path.write_bytes(b"".join(_parts(msgspec.structs.replace(header, sections=shown), sections)))
    with pytest.raises(Damaged, match="do not fit together"):
        load(path)


@pytest.mark.parametrize(
    "section", [("users", "|u1", 2**40), ("users", "|O", 3), ("users", "nonsense", 3)]
)
def test_a_header_that_does_not_describe_the_file_is_refused(
    path: Path, section: tuple[str, str, int]
) -> None:
    saved(path)
    header, sections = _read(memoryview(path.read_bytes()), path)
    shown = [section, *header.sections[1:]]
    path.write_bytes(b"".join(_parts(msgspec.structs.replace(header, sections=shown), sections)))
    with pytest.raises(Damaged, match="header"):
        load(path)


@pytest.mark.parametrize("offset", [-1, 6])
def test_an_offset_outside_of_the_log_is_refused(path: Path, offset: int) -> None:
    saved(path)
    header, sections = _read(memoryview(path.read_bytes()), path)
    changed = msgspec.structs.replace(header, offset=offset)
    path.write_bytes(b"".join(_parts(changed, sections)))
    with pytest.raises(Damaged, match=f"offset {offset} is not within the log"):
        load(path)
