import numpy as np
import pytest

from nearline.state import Vocabulary


def test_indices_are_assigned_in_order_of_appearance() -> None:
    vocabulary = Vocabulary()
    assert [vocabulary.add(name) for name in ("x", "y", "x", "z")] == [0, 1, 0, 2]
    assert (len(vocabulary), vocabulary.slots) == (3, 3)
    assert vocabulary.id_of(1) == "y"
    assert vocabulary.ids_of(np.array([2, 0])) == ["z", "x"]
    assert vocabulary.indices_of(["z", "?", "x"]).tolist() == [2, -1, 0]
    assert (vocabulary.get("y"), vocabulary.get("?")) == (1, None)
    assert vocabulary["y"] == 1
    assert "y" in vocabulary
    assert "?" not in vocabulary
    with pytest.raises(KeyError):
        vocabulary["?"]


def test_a_freed_index_is_reused_by_the_next_new_id() -> None:
    vocabulary = Vocabulary()
    for name in ("x", "y"):
        vocabulary.add(name)
    assert vocabulary.remove("x") == 0
    assert (len(vocabulary), vocabulary.slots, vocabulary.id_of(0)) == (1, 2, "")
    assert "x" not in vocabulary
    assert vocabulary.add("new") == 0
    assert vocabulary.add("x") == 2
    with pytest.raises(KeyError):
        vocabulary.remove("gone")


def test_a_vocabulary_is_rebuilt_from_its_table() -> None:
    vocabulary = Vocabulary()
    for name in ("x", "y", "z"):
        vocabulary.add(name)
    vocabulary.remove("y")
    again = Vocabulary.from_table(vocabulary.table())
    assert again.table() == ["x", "", "z"]
    assert len(again) == 2
    assert (again.add("z"), again.add("new"), again.add("more")) == (2, 1, 3)
