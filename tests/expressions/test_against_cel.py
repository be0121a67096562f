"""Random expressions give the same answers as a CEL library."""

import os
import random
import threading
from typing import Any

import numpy as np
import pytest
from tests.expressions.celpairs import Pair, Row, Writer, random_row

from nearline.expressions import Bindings
from nearline.expressions.parser import MAX_SEARCHES, SEARCHES
from nearline.schema import Item
from nearline.state import Catalogue

celpy = pytest.importorskip("celpy")

# 2,000 expressions and 200 items take about ten minutes, nearly all of it in the CEL library.
EXPRESSIONS = int(os.environ.get("NEARLINE_EXPRESSIONS", "80"))
ITEMS = 200 if EXPRESSIONS >= 2_000 else 30


def catalogue_of(rows: list[Row]) -> Catalogue:
    catalogue = Catalogue(threading.RLock(), str)
    catalogue.grow(len(rows))
    for index, row in enumerate(rows):
        attributes: Any = row
        catalogue.put(index, Item(item_id=str(index), timestamp=1.0, attributes=attributes))
    return catalogue


def cel_answers(pair: Pair, items: list[Any]) -> list[bool]:
    environment = celpy.Environment()
    program = environment.program(environment.compile(pair.cel))
    return [bool(program.evaluate({"item": item})) for item in items]


def test_random_expressions_equal_those_of_a_cel_library() -> None:
    rng = random.Random(18)
    writer = Writer(rng)
    rows = [random_row(rng) for _ in range(ITEMS)]
    # Every attribute has a value somewhere, so that its name is known.
    rows[0] = {"price": 1.5, "weight": 0.5, "stock": 2, "year": 1999, "brand": "own"}
    rows[0] |= {"maker": "x", "tags": ["tea"], "sizes": [1], "sale": True}
    catalogue, items = catalogue_of(rows), [celpy.json_to_cel(row) for row in rows]
    told = 0
    for _ in range(EXPRESSIONS):
        pair = writer.truth(3)
        while sum(pair.ours.count(f".{name}(") for name in SEARCHES) > MAX_SEARCHES:
            pair = writer.truth(3)
        expected = cel_answers(pair, items)
        found = catalogue.expressions.mask(pair.ours)
        wrong = np.flatnonzero(found != np.array(expected))
        assert not len(wrong), (pair, [rows[at] for at in wrong[:3]])
        told += 0 < sum(expected) < len(rows)
    assert told > EXPRESSIONS / 3  # most expressions distinguish items


def test_texts_of_a_context_fit_numbers_and_booleans() -> None:
    rows: list[Row] = [{"price": 5.0, "stock": 3, "brand": "7"}, {"price": 9.0, "brand": "x"}]
    ex = catalogue_of(rows).expressions
    bindings = Bindings(context={"limit": "7", "app": "true", "half": "0.5"})
    for text, expected in (
        ("price < context.limit", [True, False]),
        ("context.app && price > 7", [False, True]),
        ("brand == context.limit", [True, False]),
        ("context.app == true && context.limit in [7, 8]", [True, True]),
        ("stock / context.limit == 0", [True, False]),
        ("price * context.half == 4.5", [False, True]),
        ("context.limit", [False, False]),
    ):
        assert ex.mask(text, bindings).tolist() == expected, text
    assert ex.factors("context.limit", bindings).tolist() == [7.0, 7.0]


def test_attributes_of_users_and_contexts_are_constants() -> None:
    rng = random.Random(7)
    rows = [random_row(rng) for _ in range(30)]
    ex = catalogue_of(rows).expressions
    bindings = Bindings({"limit": 5.0, "brand": "own", "likes": ["x", "own"]}, {"app": True}, 0.0)
    for ours, constant in (
        ("price < user.limit", "price < 5.0"),
        ("brand == user.brand && context.app", 'brand == "own"'),
        ("brand in user.likes", 'brand in ["x", "own"]'),
        ("price < user.unknown", "false"),
        ("has(user.limit) && !has(user.unknown)", "true"),
        ("user.brand < brand", '"own" < brand'),
        ("user.unknown ? true : price > 0.0", "price > 0.0"),
    ):
        assert np.array_equal(ex.mask(ours, bindings), ex.mask(constant)), ours
