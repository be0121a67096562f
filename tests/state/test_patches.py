"""Changes of catalogue entries are folded in the order of the log."""

from nearline.data import dataset_from_log
from nearline.log import MEMORY, open_log
from nearline.schema import Item, ItemDeleted, ItemPatched
from nearline.state import State

ENTRY = Item(item_id="t", timestamp=1.0, text="tea", vectors={"image": [0.5, 1.0]})


def test_a_patch_changes_the_fields_that_are_set() -> None:
    state = State()
    state.apply([(0, ENTRY), (1, ItemPatched(item_id="t", timestamp=2.0, title="Tea"))])
    assert state.catalogue.get(0) == Item(
        item_id="t", timestamp=2.0, text="tea", title="Tea", vectors={"image": [0.5, 1.0]}
    )


def test_a_patch_without_changes_keeps_the_entry() -> None:
    state = State()
    state.apply([(0, ENTRY), (1, ItemPatched(item_id="t", timestamp=2.0))])
    assert state.catalogue.get(0) == ENTRY


def test_a_patch_without_an_entry_has_no_effect() -> None:
    state = State()
    patch = ItemPatched(item_id="t", timestamp=2.0, title="Tea")
    state.apply([(0, patch)])
    assert (len(state.items), state.offset) == (0, 1)
    state.apply([(1, ENTRY), (2, ItemDeleted(item_id="t", timestamp=2.0)), (3, patch)])
    assert state.catalogue.get(0) is None
    assert not state.catalogue.available()[0]


def test_the_log_keeps_patches_and_training_reads_them() -> None:
    log = open_log(MEMORY)
    patch = ItemPatched(item_id="t", timestamp=2.0, text="green")
    log.append([ENTRY, patch, ItemPatched(item_id="x", timestamp=2.0, text="lost")]).result()
    assert [record for _, record in log.read(1, 2)] == [patch]
    data = dataset_from_log(log, 3, item_ids=["t"])
    assert data.texts == ["green"]
    log.close()
