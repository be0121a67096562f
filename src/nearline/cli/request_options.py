"""Command-line options derived from the fields of a request."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from msgspec import Struct

from nearline.cli.ranges import FloatRange, IntRange
from nearline.errors import InvalidInput
from nearline.schema import RequestField, Shape, request_fields

C = TypeVar("C", bound=Callable[..., Any])

SEPARATOR = "="


def request_options(kind: type[Struct], *, without: Sequence[str] = ()) -> Callable[[C], C]:
    """Return a decorator that adds an option for each field of the struct `kind`.

    The command receives the values under the names of the fields.
    """

    def decorate(command: C) -> C:
        # Decorators apply from the last to the first.
        for field in reversed(request_fields(kind, without=without)):
            command = request_option(field)(command)
        return command

    return decorate


def request_option(field: RequestField) -> Callable[[C], C]:
    """Return a decorator that adds the option for one field.

    A field that is on by default has two options, one for on and one for off. A list or a mapping
    takes one entry each time that the option is given.
    """
    option = f"--{_hyphenated(field.name)}"
    names = [option, field.name] if len(field.name) > 1 else [f"-{field.name}", option, field.name]
    settings: dict[str, Any] = {"help": _help_of(field)}
    if field.shape is Shape.FLAG:
        if field.default or field.opposite:
            opposite = field.opposite or f"no_{field.name}"
            names[-2] = f"{option}/--{_hyphenated(opposite)}"
        settings |= {"is_flag": True, "default": field.default, "show_default": bool(field.default)}
    elif field.is_repeatable:
        settings |= {"multiple": True, "callback": _reader(field)}
        if field.shape is Shape.MAPPING:
            settings["metavar"] = f"NAME{SEPARATOR}VALUE"
    else:
        settings |= {
            "type": _type_of(field),
            "required": field.required,
            "default": field.default,
            "show_default": field.default is not None,
        }
    return click.option(*names, **settings)


def _help_of(field: RequestField) -> str:
    text = field.description
    if isinstance(field.example, str):
        text += f" For example '{field.example}'."
    elif field.shape is Shape.MAPPING and field.example:
        text += " For example " + SEPARATOR.join(map(str, next(iter(field.example.items())))) + "."
    return text + " Can be given several times." if field.is_repeatable else text


def _type_of(field: RequestField) -> Any:
    bounds: Any = (field.minimum, field.maximum)
    if field.shape is Shape.INTEGER:
        return IntRange(*bounds)
    if field.shape is Shape.NUMBER:
        return click.FLOAT if bounds == (None, None) else FloatRange(*bounds)
    return click.STRING


def _reader(field: RequestField) -> Callable[..., object]:
    """Return the callback that makes a list or a mapping of the texts given."""

    def read(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> object:
        if not texts:
            return field.default
        try:
            return field.value_of(texts, SEPARATOR)
        except InvalidInput as error:
            raise click.BadParameter(str(error)) from None

    return read


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")
