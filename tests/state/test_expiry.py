"""Items that expire: what is available at a time equals a comparison of every time with it."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.schema import Item, ItemDeleted, ItemPatched, Record
from nearline.schema.times import LAST_TIME, parse_expiry
from nearline.state import Catalogue, State, load_checkpoint, save_checkpoint

NAMES = "abcde"
times = st.none() | st.integers(0, 9).map(float)
puts = st.tuples(st.sampled_from(range(5)), times, st.booleans())
steps = st.lists(st.one_of(puts, st.integers(0, 10), st.sampled_from(NAMES)), max_size=40)


@settings(deadline=None)
@given(steps)
def test_availability_equals_a_comparison_of_all_times(changes: list[object]) -> None:
    catalogue = Catalogue(threading.RLock())
    catalogue.grow(5)
    entries: dict[int, tuple[float | None, bool] | None] = {}
    now = 0.0
    for change in changes:
        if isinstance(change, int):  # also back in time
            now = float(change)
        elif isinstance(change, str):
            catalogue.delete(NAMES.index(change))
            entries[NAMES.index(change)] = None
        else:
            assert isinstance(change, tuple)
            index, time, available = change
            item = Item(item_id=NAMES[index], timestamp=0.0, available=available, expires_at=time)
            catalogue.put(index, item)
            entries[index] = (time, available)
        expired = catalogue.advance(now)
        expected = [
            (entry := entries.get(index, (None, True))) is not None
            and entry[1]
            and (entry[0] is None or entry[0] > now)
            for index in range(5)
        ]
        assert catalogue.available().tolist() == expected
        assert expired == sum(
            entry is not None and entry[1] and entry[0] is not None and entry[0] <= now
            for entry in entries.values()
        )
    kept = catalogue.copy()
    again = Catalogue.from_copy(threading.RLock(), kept)
    again.advance(now)
    assert again.available().tolist() == catalogue.available().tolist()


def test_the_order_of_expiry_and_reads_does_not_change_a_checkpoint(tmp_path: Path) -> None:
    records: list[Record] = [
        Item(item_id="a", timestamp=1.0, expires_at=5.0),
        Item(item_id="b", timestamp=1.0),
        ItemPatched(item_id="b", timestamp=2.0, expires_at=7.0),
        ItemDeleted(item_id="a", timestamp=3.0),
        Item(item_id="c", timestamp=4.0, expires_at=9.0),
    ]
    files = []
    for name, now in (("early", 0.0), ("late", 100.0)):
        state = State()
        state.apply(list(enumerate(records)))
        state.catalogue.advance(now)
        save_checkpoint(state, tmp_path / name, erasures=0)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    loaded = load_checkpoint(tmp_path / "late", State().config, erasures=0, end=5)
    assert loaded is not None
    for now, shown in ((6.9, "bc"), (7.0, "c"), (9.0, "")):
        loaded.catalogue.advance(now)
        available = np.flatnonzero(loaded.catalogue.available())
        assert "".join(loaded.items.ids_of(available)) == shown


def test_repeated_times_take_no_memory() -> None:
    catalogue = Catalogue(threading.RLock())
    catalogue.grow(1)
    for time in range(5_000):
        catalogue.put(0, Item(item_id="a", timestamp=0.0, expires_at=float(time + 10)))
    assert len(catalogue._expiries._waiting) < 2_000
    assert catalogue.advance(5_008.0) == 0
    assert catalogue.advance(5_009.0) == 1


@pytest.mark.parametrize("bad", ["soon", -1, float("nan"), LAST_TIME + 1, 1.7e12, True, [1]])
def test_bad_times_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="expires_at"):
        parse_expiry(bad)


def test_times_of_any_form() -> None:
    assert parse_expiry(None) is None
    assert parse_expiry("1970-01-02T00:00:00Z") == parse_expiry(86_400) == 86_400.0
    assert parse_expiry(LAST_TIME) == LAST_TIME
