"""What expressions mean, and what is refused: examples that can be checked by hand."""

import threading
from typing import Any

import numpy as np
import pytest

from nearline.errors import InvalidInput
from nearline.expressions import MAX_CHARS, Bindings
from nearline.expressions.checking import MAX_FACTOR
from nearline.schema import Item
from nearline.state import Catalogue

DAY = 86_400.0
ITEMS: list[dict[str, Any]] = [
    {
        "title": "Green tea",
        "categories": ["tea"],
        "attributes": {
            "price": 3,
            "brand": "own",
            "sizes": [1, 2.5, "x"],
            "sale": True,
            "published": "1970-01-02T00:00:00Z",
            "max price": 4.5,
            "title": "shadowed",
        },
    },
    {
        "title": "Black tea",
        "categories": ["tea", "black"],
        "attributes": {"price": 30.5, "brand": "x", "published": 2 * DAY, "mixed": "7"},
    },
    {"attributes": {"brand": "own", "mixed": 7}, "available": False},
]


@pytest.fixture(scope="module")
def shop() -> Catalogue:
    catalogue = Catalogue(threading.RLock(), lambda index: "abcd"[index])
    catalogue.grow(4)  # the last one has no entry
    for index, fields in enumerate(ITEMS):
        catalogue.put(index, Item(item_id="abcd"[index], timestamp=10.0 + index, **fields))
    return catalogue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('price < 20 && "tea" in categories && !(brand in ["x", "y"])', "a"),
        ("price >= 3", "ab"),
        ("expires_at < 20", ""),  # no item has a time of expiry, so this is false
        ("!(expires_at in [1, 2])", "abcd"),
        ("price % 1e-300 >= 0", ""),  # a quotient that is not exact has no remainder
        ("size(brand) == 3", "ac"),
        ("days_since(published) == 3", "a"),
        ("!(price < 20)", "bcd"),  # a missing value compares false
        ("price != 3", "b"),
        ("brand != 'own'", "b"),
        ("has(price) || has(nothing)", "ab"),
        ("!has(price)", "cd"),
        ("has(title)", "ab"),
        ("sale", "a"),
        ("!sale", "bcd"),
        ("price % 2 == 1", "a"),
        ("price / 2 == 1", "a"),  # 3 / 2 of whole numbers
        ("price / 2.0 == 1.5", "a"),
        ("price / 0 == 1 || price % 0 == 1", ""),
        ("1 / 0 != 1", ""),
        ("-price < -10.0", "b"),
        ("1 in sizes && 2.5 in sizes && 'x' in sizes && !(2 in sizes)", "a"),
        ("size(title) == 9 && title.size() == 9", "ab"),
        ("size(categories) == 2", "b"),
        ("title.startsWith('Green') || title.endsWith('k tea')", "ab"),
        ("title.contains('tea') && !title.contains('Tea')", "ab"),
        ("'Green tea, cold'.startsWith(title)", "a"),
        ("brand < 'p'", "ac"),
        ("brand in [title, 'x', brand]", "abc"),
        ("item_id in ['a', 'd', 'zz']", "ad"),
        ("timestamp > 10.5", "bc"),
        ("available", "abd"),
        ("attributes['max price'] > 4", "a"),
        ("attributes.title == 'shadowed' && title != 'shadowed'", "a"),
        ("mixed == 7", "c"),
        ("mixed == '7'", "b"),
        ("mixed != 7", "b"),
        ("days_since(published) == 3.0", "a"),
        ("days_since(published) < 3", "b"),
        ("now > timestamp * 1000.0", "abc"),
        ("(brand == 'own' ? price : 7) == 3", "a"),
        ("has(price) ? price > 5 : has(brand) ? true : false", "bc"),
        (r'brand == "\u006fwn" || brand == r"\u"', "ac"),
        ("true // a comment", "abcd"),
        ("1 < 2 && 2 <= 2 && 'a' < 'b' && false < true && 0x1F == 31 && .5 == 5e-1", "abcd"),
    ],
)
def test_meaning(shop: Catalogue, text: str, expected: str) -> None:
    mask = shop.expressions.mask(text, Bindings(now=4 * DAY))
    assert "".join("abcd"[at] for at in np.flatnonzero(mask)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prise < 3", "character 1: no item has an attribute 'prise'; the nearest are 'price'"),
        ("price < 3 && brnad == 'x'", "character 14: no item has an attribute 'brnad'"),
        ("price <", "character 8: found the end; expected a value"),
        ("price < < 3", "character 9: found '<'; expected a value"),
        ("price < 3)", "character 10: found ')'; expected the end or an operator"),
        ("(price < 3", "character 11: found the end; expected ')'"),
        ("price = 3", "character 7: '=' is unexpected; compare with =="),
        ("price < 3 & sale", "character 11: '&' is unexpected; write && for and"),
        ("brand == 'x", 'character 10: "\'" is unexpected; close the string with the same quote'),
        (r"brand == '\q'", r"character 11: \q is not an escape"),
        (r"brand == '\ud800'", "is not a character"),
        ("brand < 3", "character 7: < compares values of one type; brand is a string and this is"),
        ("price == 'x'", "price is a number"),
        ("price && sale", "character 7: && takes true or false; price is a number"),
        ("'a' + 'b' == 'ab'", "character 5: + takes a number; this is a string"),
        ("price in 3", "in takes a list"),
        ("3 in categories", "this is a number, and categories is a list of entries of another"),
        ("sizes == sizes", "use in for lists"),
        ("size(3) == 1", "size takes a string or a list"),
        ("title.contains(brand)", "only one of the strings of contains may depend on the item"),
        ("title.matches('a*')", "character 7: there is no method matches; there are startsWith"),
        ("matches(title, 'a')", "use startsWith, endsWith or contains"),
        ("exists(title)", "there is no function exists; there are has, size, days_since"),
        ("brand == null", "found 'null'; expected a value; leave out the comparison or use has()"),
        ("has(3)", "found '3'; expected a name"),
        ("user.", "found the end; expected a name"),
        ("price", "a filter is true or false; price is a number"),
        ("[1, 2]", "a filter is true or false; this is a list"),
        ("99999999999999999999 < price", "is too large; whole numbers go up to 2**53"),
        ("1e999 < price", "is too large for a number"),
        ("", "character 1: found the end; expected a value"),
        ("a" * (MAX_CHARS + 1), "the expression has 4,097 characters; at most 4,096 are allowed"),
        ("(" * 40 + "true" + ")" * 40, "is nested more than 32 deep"),
        ("!" * 40 + "true", "more than 32 signs in a row"),
        ("[" * 2_000, "is nested more than 32 deep"),
        (" || ".join(["sale"] * 300), "more than 200 names and operators"),
    ],
)
def test_errors_name_the_character_and_what_is_allowed(
    shop: Catalogue, text: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        shop.expressions.mask(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("filter, character ")
    assert caught.value.field == "filter"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("brand == 'own' ? 1.5 : 1.0", [1.5, 1.0, 1.5, 1.0]),
        ("price", [3.0, 30.5, 1.0, 1.0]),  # 1 where it is missing
        ("price - 10", [0.0, 20.5, 1.0, 1.0]),  # never below 0
        ("price * 1e6", [MAX_FACTOR, MAX_FACTOR, 1.0, 1.0]),
        ("1.0 / (price - 3)", [1.0, 1 / 27.5, 1.0, 1.0]),
        ("2", [2.0] * 4),
        ("0", [0.0] * 4),
        ("user.taste", [1.0] * 4),
        ("context.scale", [4.0] * 4),
    ],
)
def test_factors(shop: Catalogue, text: str, expected: list[float]) -> None:
    found = shop.expressions.factors(text, Bindings(context={"scale": 4}))
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", "a boost of -1 is not allowed; it must be 0 to 1,000,000"),
        ("sale ? -0.5 : 1.0", "a boost of -0.5 is not allowed"),
        ("1e7", "a boost of 1e+07 is not allowed"),
        ("1.0 / 0.0", "a boost of nan is not allowed"),
        ("1e300 * 1e300", "a boost of inf is not allowed"),
        ("context.scale", "a boost of -3 is not allowed"),
        ("sale", "a boost is a number, and this is true or false; write CONDITION ? 2.0 : 1.0"),
        ("brand", "a boost is a number; brand is a string"),
    ],
)
def test_impossible_factors_are_refused(shop: Catalogue, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=r"^boost, character \d+: ") as caught:
        shop.expressions.factors(text, Bindings(context={"scale": -3}))
    assert message in str(caught.value)
    assert caught.value.field == "boost"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" || ".join(['brand.contains("a")'] * 6), "at most 5 of startsWith, endsWith, contains"),
        ("brand < title", "only one of the strings of < may depend on the item"),
    ],
)
def test_expressions_that_would_take_long_are_refused(
    shop: Catalogue, text: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        shop.expressions.check(text)
