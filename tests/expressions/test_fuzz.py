"""Arbitrary text is answered or refused; nothing else is raised."""

import contextlib
import os
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.expressions import Bindings
from nearline.schema import Item
from nearline.state import Catalogue

EXAMPLES = int(os.environ.get("NEARLINE_EXAMPLES", "200"))
WORDS = [
    "price", "brand", "tags", "sale", "mixed", "user.x", 'context["x"]', "now", "has(", "size(",
    "days_since(", ".startsWith(", ".contains(", ".size()", "1", "2.5", "0", "'a'", '"tea"', "true",
    "false", "null", "[", "]", ",", "(", ")", "?", ":", "&&", "||", "!", "==", "!=", "<", "<=", ">",
    ">=", "in", "+", "-", "*", "/", "%", " ", "item_id", "title", "attributes.", "1e308", "\\", "é",
]  # fmt: skip

CATALOGUE = Catalogue(threading.RLock(), str)
CATALOGUE.grow(4)
for _index, _attributes in enumerate(
    [{"price": 1, "brand": "a", "tags": ["tea", 1]}, {"price": 2.5, "sale": True}, {"mixed": "a"}]
):
    CATALOGUE.put(
        _index,
        Item(item_id=str(_index), timestamp=1.0, attributes={**_attributes, "mixed": _index}),  # type: ignore[dict-item]
    )
CATALOGUE.put(3, Item(item_id="3", timestamp=1.0, attributes={"mixed": "b"}))
BINDINGS = Bindings({"x": ["a", 1]}, {"x": 2}, 1e9)


def ask(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert len(CATALOGUE.expressions.mask(text, BINDINGS)) == 4
    with contextlib.suppress(InvalidInput):
        factors = CATALOGUE.expressions.factors(text, BINDINGS)
        assert ((factors >= 0) & (factors <= 1e6)).all()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join))
def test_random_words(text: str) -> None:
    ask(text)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.text(max_size=40))
def test_random_text(text: str) -> None:
    ask(text)
