"""Kept results follow every change of the catalogue; they equal those of a new catalogue."""

import os
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.expressions import Bindings, columns
from nearline.schema import Item
from nearline.state import Catalogue

EXAMPLES = int(os.environ.get("NEARLINE_EXAMPLES", "60"))
SCALARS = st.one_of(
    st.sampled_from(["a", "b", "ab", ""]),
    st.integers(0, 3),
    st.sampled_from([0.5, 2.0]),
    st.booleans(),
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from("pqr"), st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=3
)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), ATTRIBUTES),
        st.tuples(st.just("delete"), st.integers(0, 9), st.none()),
        st.tuples(st.just("grow"), st.integers(10, 14), st.none()),
    ),
    max_size=12,
)
FILTERS = [
    "p < 2", "q == 'a' || !(r in ['b', 2])", "'a' in p", "has(q) ? q == 2 : has(r)", "p == q",
    "size(q) == 2", "q.contains('b')", "p", "p != r", "'a' in categories", "available",
    "item_id < '5' && timestamp > 3.0", "q < context.x && (p == 1 || 'b' in r)",
]  # fmt: skip


def entry(index: int, attributes: Any) -> Item:
    return Item(
        item_id=str(index),
        timestamp=float(index),
        attributes=attributes,
        categories=["a"] if attributes else [],
        available=len(attributes) < 3,
    )


def apply(catalogue: Catalogue, change: Any) -> None:
    kind, index, attributes = change
    if kind == "put":
        catalogue.put(index, entry(index, attributes))
    elif kind == "delete":
        catalogue.delete(index)
    else:
        catalogue.grow(index)


def results(catalogue: Catalogue) -> list[Any]:
    found: list[Any] = []
    bindings = Bindings(context={"x": "b"})
    for text in FILTERS:
        try:
            found.append(catalogue.expressions.mask(text, bindings).tolist())
        except InvalidInput as error:  # a name or a type that no item has
            found.append(str(error).partition(";")[0])
    try:
        found.append(catalogue.expressions.factors("p * 2.0").tolist())
    except InvalidInput as error:
        found.append(str(error).partition(";")[0])
    return found


def replayed(changes: list[Any]) -> Catalogue:
    catalogue = Catalogue(threading.RLock(), str)
    catalogue.grow(10)
    for change in changes:
        apply(catalogue, change)
    return catalogue


@settings(max_examples=EXAMPLES, deadline=None)
@given(CHANGES)
def test_results_after_changes_equal_those_of_a_new_catalogue(changes: list[Any]) -> None:
    catalogue = replayed([])
    for at, change in enumerate(changes):
        apply(catalogue, change)
        if at % 3 == 2:
            results(catalogue)
    expected = results(replayed(changes))
    assert results(catalogue) == expected
    copy = catalogue.copy()
    assert results(Catalogue.from_copy(threading.RLock(), copy)) == expected


@pytest.mark.parametrize(("name", "bound"), [("CHANGES_KEPT", 4), ("MAX_BYTES", 400)])
def test_bounds_of_memory_change_no_result(
    monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    rng = np.random.default_rng(3)
    changes: list[Any] = [
        ("put", int(rng.integers(10)), {"pqr"[int(rng.integers(3))]: ["a", 1, 2.0, ["b"]][n % 4]})
        for n in range(60)
    ]
    expected = results(replayed(changes))
    monkeypatch.setattr(columns, name, bound)
    catalogue = replayed(changes[:20])
    results(catalogue)
    for change in changes[20:]:
        apply(catalogue, change)
    assert results(catalogue) == expected


def test_strings_and_entries_of_lists_that_are_gone_take_no_memory() -> None:
    catalogue = replayed([])
    for n in range(5_000):
        catalogue.put(n % 10, entry(n % 10, {"p": f"text {n}", "q": [f"entry {n}", n]}))
    catalogue.expressions.mask("p < 'x' && 'entry 4999' in q")
    strings = catalogue._columns.strings
    assert len(strings) < 60
    assert catalogue._columns._bytes() < 100_000
    assert np.flatnonzero(catalogue.expressions.mask("'entry 4999' in q")).tolist() == [9]
    for index in range(10):
        catalogue.delete(index)
    assert sum(bool(text) for text in strings._texts) == 0


def test_a_result_is_evaluated_only_for_changed_items() -> None:
    catalogue = replayed([("put", 1, {"p": 1})])
    first = catalogue.expressions.mask("p < 2")
    catalogue.put(2, entry(2, {"p": 0}))
    second = catalogue.expressions.mask("p < 2")
    assert np.shares_memory(first, second)
    assert second.tolist() == [False, True, True] + [False] * 7
    with pytest.raises(ValueError, match="read-only"):
        second[0] = True


def test_names_and_types_are_checked_again_when_they_change() -> None:
    catalogue = replayed([("put", 1, {"p": 1})])
    ex = catalogue.expressions
    assert ex.mask("p < 2").sum() == 1
    catalogue.put(1, entry(1, {"p": "text"}))
    with pytest.raises(InvalidInput, match="p is a string"):
        ex.mask("p < 2")
    catalogue.put(1, entry(1, {"q": 1}))
    with pytest.raises(InvalidInput, match="no item has an attribute 'p'"):
        ex.mask("p < 2")
    catalogue.put(1, entry(1, {"p": 1}))
    assert ex.mask("p < 2").sum() == 1
