"""Every setting of every model has a lower and an upper bound."""

import math
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from nearline.config import Config
from nearline.errors import InvalidInput
from nearline.models.registry import convert_settings, discover, make_model, settings_of

HUGE = 10**18
MODELS = sorted(discover())


def numbers(settings: msgspec.Struct, path: str = "") -> Iterator[tuple[str, type]]:
    """Yield the dotted name and the type of each setting that is or may be a number."""
    hints = get_type_hints(type(settings))
    for field in settings.__struct_fields__:
        value, hint = getattr(settings, field), hints[field]
        kinds = get_args(hint) if get_origin(hint) in (Union, type(int | None)) else (hint,)
        if isinstance(value, msgspec.Struct):
            yield from numbers(value, f"{path}{field}.")
        elif int in kinds or float in kinds:
            yield path + field, float if float in kinds else int


def nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


CASES = [
    pytest.param(name, path, kind, id=f"{name}.{path}")
    for name in MODELS
    for path, kind in numbers(discover()[name].config_type())
]


@pytest.mark.parametrize(("name", "path", "kind"), CASES)
def test_a_number_beyond_all_bounds_is_refused(name: str, path: str, kind: type) -> None:
    values: tuple[Any, ...] = (HUGE, -HUGE)
    if kind is float:
        values = (1e301, -1e301)
    for value in values:
        with pytest.raises(InvalidInput, match=path.rpartition(".")[2]):
            make_model(name, nested(path, value))


def test_a_text_instead_of_a_number_is_refused() -> None:
    for name in ("memory", "search_seconds", "served_days"):
        with pytest.raises(InvalidInput, match=f"Config.{name} is '1GB'; it must be a number"):
            Config(**{name: "1GB"})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_no_kind_of_setting_escapes_the_test_above(name: str) -> None:
    """Settings that are no numbers are text, yes or no, or a list whose entries have bounds."""
    kind = discover()[name]
    checked = {path for path, _ in numbers(kind.config_type())}
    rest = {path: value for path, value in settings_of(kind).items() if path not in checked}
    allowed = {
        "scales",
        "vectors",
        "parts",
        "at_least",
        "hidden",
        "dilations",
        "half_lives",
        "weights",
        "columns",
    }
    for path, value in rest.items():
        assert isinstance(value, bool | str) or path.rpartition(".")[2] in allowed, path


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("item_graph", {"scales": {"content": math.nan}}),
        ("item_graph", {"scales": {str(n): 1.0 for n in range(1_001)}}),
        ("item_graph", {"vectors": {"look": {"neighbours": HUGE}}}),
        ("item_graph", {"vectors": {str(n): {} for n in range(1_001)}}),
        ("hybrid_fusion", {"parts": [{"model": "popularity"}] * 17}),
        ("hybrid_fusion", {"parts": [{"model": "item_graph", "settings": {"counts": HUGE}}]}),
        ("hybrid_weighted", {"parts": [{"model": "popularity", "weight": 1e300}]}),
        ("hybrid_switching", {"at_least": [0, HUGE]}),
        ("hybrid_ratings", {"parts": [{"model": "als"}] * 17}),
        ("hybrid_ratings", {"parts": [{"model": "als", "settings": {"factors": HUGE}}]}),
        ("blend", {"at_least": list(range(65))}),
        ("blend", {"parts": [{"model": "item_graph", "temperature": 1e300}]}),
        ("ncf", {"hidden": [HUGE]}),
        ("ncf", {"hidden": [8] * 17}),
        ("nextitnet", {"dilations": [HUGE]}),
        ("nextitnet", {"dilations": [1] * 65}),
    ],
)
def test_lists_of_settings_are_bounded(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        make_model(name, settings)


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_within_the_bounds(name: str) -> None:
    kind = discover()[name]
    defaults = msgspec.to_builtins(kind.config_type())
    assert convert_settings(kind, defaults) == kind.config_type()
