"""Fields of a request, from which query parameters, options and documentation are derived."""

from typing import Annotated

import pytest
from griffe import Docstring, DocstringSectionAttributes
from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema import ListOptions, RecommendationRequest, Shape, request_fields


class Drink(Struct, kw_only=True):
    name: Annotated[str, Meta(description="What it is.", examples=["tea"])]
    iced: bool = False
    cups: Annotated[int, Meta(ge=1, le=12)] | None = None
    warmth: Annotated[float, Meta(description="Degrees.")] = 60.0
    herbs: tuple[str, ...] = ()
    origin: Annotated[dict[str, str | int] | None, Meta(examples=[{"land": "JP"}])] = None


FIELDS = {field.name: field for field in request_fields(Drink)}


def test_shapes_bounds_defaults_and_descriptions_come_from_the_struct() -> None:
    assert {name: field.shape for name, field in FIELDS.items()} == {
        "name": Shape.TEXT,
        "iced": Shape.FLAG,
        "cups": Shape.INTEGER,
        "warmth": Shape.NUMBER,
        "herbs": Shape.LIST,
        "origin": Shape.MAPPING,
    }
    assert (FIELDS["name"].required, FIELDS["iced"].required) == (True, False)
    assert (FIELDS["name"].description, FIELDS["name"].example) == ("What it is.", "tea")
    assert (FIELDS["cups"].minimum, FIELDS["cups"].maximum) == (1, 12)
    assert (FIELDS["warmth"].default, FIELDS["warmth"].description) == (60.0, "Degrees.")
    assert [field.name for field in request_fields(Drink, without=["name", "origin"])] == [
        "iced",
        "cups",
        "warmth",
        "herbs",
    ]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("iced", "true or false"),
        ("cups", "a whole number from 1 to 12"),
        ("warmth", "a number"),
    ],
)
def test_allowed_values_are_described(name: str, allowed: str) -> None:
    assert FIELDS[name].allowed == allowed


def test_texts_become_values() -> None:
    assert FIELDS["name"].value_of(["tea"], ":") == "tea"
    assert FIELDS["herbs"].value_of(["mint", "sage"], ":") == ("mint", "sage")
    assert FIELDS["origin"].value_of(["land:JP", "slope:south:west"], ":") == {
        "land": "JP",
        "slope": "south:west",
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["JP"], "origin is 'JP'; it must be NAME=VALUE, such as land=JP"),
        (["=JP"], "origin is '=JP'; it must be NAME=VALUE, such as land=JP"),
        (["land=JP", "land=CN"], "origin names 'land' more than once; give each name one value"),
    ],
)
def test_malformed_entries_of_a_mapping_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        FIELDS["origin"].value_of(texts, "=")
    assert (refused.value.message, refused.value.field) == (message, "origin")


def test_a_type_without_a_shape_is_refused() -> None:
    class Bad(Struct):
        nested: Drink

    with pytest.raises(TypeError, match="nested"):
        request_fields(Bad)


@pytest.mark.parametrize("kind", [ListOptions, RecommendationRequest])
def test_every_field_of_a_request_is_described(kind: type[Struct]) -> None:
    inherited = kind.__mro__[1]
    assert issubclass(inherited, Struct)
    own = set(kind.__struct_fields__) - set(inherited.__struct_fields__)
    described = {
        attribute.name
        for section in Docstring(kind.__doc__ or "").parse("numpy")
        if isinstance(section, DocstringSectionAttributes)
        for attribute in section.value
    }
    assert described == own
    for field in request_fields(kind):
        assert field.description.endswith("."), field.name
        assert field.shape is not Shape.MAPPING or field.example, field.name
