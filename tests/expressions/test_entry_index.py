"""The index of the entries of lists against a comparison of all entries."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.expressions import entry_index
from nearline.expressions.entry_index import EntryIndex
from nearline.expressions.packed_lists import PackedLists
from nearline.expressions.strings import StringTable

NAMES = ["tea", "coffee", "mugs"]
# An item, and its new list; None removes its list.
CHANGES = st.lists(
    st.tuples(st.integers(0, 5), st.none() | st.lists(st.sampled_from(NAMES), max_size=4)),
    max_size=40,
)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Let an index be made again after few entries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry_index, "FEWEST_NEW", 3)
        yield


def test_positions_by_hand() -> None:
    index = EntryIndex()
    entries = np.array([2.0, 1.0, 2.0, np.nan, 2.0])
    assert index.positions(entries, 2.0).tolist() == [0, 2, 4]
    entries[2] = np.nan
    assert index.positions(entries, 2.0).tolist() == [0, 4]
    longer = np.append(entries, [1.0, 2.0])
    assert index.positions(longer, 2.0).tolist() == [0, 4, 6]
    assert index.positions(entries[:3], 2.0).tolist() == [0]
    for absent in (3.0, np.nan):
        assert index.positions(longer, absent).tolist() == []


@given(CHANGES)
def test_lists_that_change_are_found_by_their_entries(
    changes: list[tuple[int, list[str] | None]],
) -> None:
    strings = StringTable()
    lists = PackedLists(strings, 6)
    expected: dict[int, list[str]] = {}
    for item, entries in changes:
        lists.set(item, entries)
        expected[item] = entries or []
        found = lists.operand(6, None)
        assert found.entry_index is not None
        for name in NAMES:
            code = strings.code(name)
            at = found.entry_index.positions(
                found.entries.values, np.nan if code is None else float(code)
            )
            owners = {one for one, names in expected.items() if name in names}
            assert set(found.owners[at].tolist()) == owners
