import threading

import numpy as np
import pytest

from nearline.schema import Item
from nearline.state import Catalogue


def entry(name: str, **fields: object) -> Item:
    return Item(item_id=name, timestamp=1.0, **fields)  # type: ignore[arg-type]


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue(threading.RLock(), str)
    catalogue.grow(4)
    return catalogue


def test_an_item_without_an_entry_is_available(catalogue: Catalogue) -> None:
    assert catalogue.available().tolist() == [True, True, True, True]
    assert catalogue.get(0) is None
    assert len(catalogue) == 0


def test_availability_of_hidden_and_deleted_items(catalogue: Catalogue) -> None:
    catalogue.put(0, entry("a", available=False))
    catalogue.put(1, entry("b"))
    catalogue.delete(1)
    catalogue.delete(2)
    assert catalogue.available().tolist() == [False, False, False, True]
    assert catalogue.get(1) is None
    assert len(catalogue) == 1
    catalogue.put(0, entry("a"))
    catalogue.put(1, entry("b"))
    assert catalogue.available().tolist() == [True, True, False, True]


def test_growing_keeps_unavailable_items(catalogue: Catalogue) -> None:
    catalogue.delete(3)
    catalogue.grow(100)
    assert np.flatnonzero(~catalogue.available()).tolist() == [3]


def test_categories_follow_the_entries(catalogue: Catalogue) -> None:
    catalogue.put(2, entry("c", categories=["hot", "hot", "new"]))
    catalogue.put(0, entry("a", categories=["hot"]))
    assert catalogue.categories() == ["hot", "new"]
    assert catalogue.members("hot").tolist() == [0, 2]
    assert catalogue.available_in("hot").tolist() == [True, False, True, False]
    catalogue.put(2, entry("c", categories=["cold"]))
    assert catalogue.members("hot").tolist() == [0]
    assert catalogue.categories() == ["cold", "hot"]
    catalogue.delete(0)
    assert catalogue.members("hot").tolist() == []
    assert catalogue.available_in("no such").tolist() == [False] * 4


def test_members_are_read_only(catalogue: Catalogue) -> None:
    catalogue.put(2, entry("c", categories=["hot"]))
    with pytest.raises(ValueError, match="read-only"):
        catalogue.members("hot")[0] = 1


def test_an_entry_is_returned_unchanged(catalogue: Catalogue) -> None:
    item = entry("a", title="Tea", attributes={"price": 2}, vectors={"v": [0.1, -1e-300]})
    catalogue.put(1, item)
    assert catalogue.get(1) == item
    assert catalogue.vectors_of(1)["v"].tolist() == [0.1, -1e-300]
    catalogue.put(1, entry("a"))
    assert catalogue.get(1) == entry("a")
    assert catalogue.vectors_of(1) == {}


def test_entries_are_sorted_by_index(catalogue: Catalogue) -> None:
    catalogue.put(2, entry("c", vectors={"v": [1.0]}))
    catalogue.put(0, entry("a"))
    assert catalogue.entries() == [(0, entry("a")), (2, entry("c"))]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("brand=Acme", [0]),
        ("Acme", [0, 1]),
        ("acme", [0, 1]),
        (" ACME ", [0, 1]),
        ("BRAND=acme", [0]),
        ("vegan=yes", [2]),
        ("yes", [2, 3]),
        ("stra\u00dfe", [3]),
        ("STRASSE", [3]),
        ("brand", []),
        ("", []),
    ],
)
def test_a_category_matches_labels_in_any_case(
    catalogue: Catalogue, typed: str, found: list[int]
) -> None:
    catalogue.put(0, entry("a", categories=["brand=Acme", "Acme"]))
    catalogue.put(1, entry("b", categories=["acme"]))
    catalogue.put(2, entry("c", categories=["vegan=yes", "alcohol=no"]))
    catalogue.put(3, entry("d", categories=["vegan=no", "alcohol=yes", "Stra\u00dfe"]))
    assert catalogue.members(typed).tolist() == found
    assert np.flatnonzero(catalogue.available_in(typed)).tolist() == found
    catalogue.put(3, entry("d"))
    assert catalogue.members(typed).tolist() == [index for index in found if index < 3]


def test_labels_are_listed_as_they_are_written(catalogue: Catalogue) -> None:
    catalogue.put(0, entry("a", categories=["brand=Acme", "acme"]))
    catalogue.put(1, entry("b", categories=["brand=Acme"]))
    catalogue.put(0, entry("a"))
    assert catalogue.categories() == ["brand=Acme"]
