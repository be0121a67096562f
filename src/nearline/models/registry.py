"""Finds the model classes of this package, so that nothing has to list them."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

import nearline.models
from nearline.errors import InvalidInput
from nearline.models.base import Model

PACKAGE = nearline.models.__name__


def discover() -> dict[str, type[Model]]:
    """Every model class of `nearline.models` by its `name`, in the order of names.

    A class is found where it is defined: in a module of its own, with a public name, and with all
    verbs written.
    """
    found = {kind.name: kind for module in _modules() for kind in _classes(module)}
    return dict(sorted(found.items()))


def model_class(name: str) -> type[Model]:
    """Find a model class by its name.

    Raises
    ------
    InvalidInput
        There is none; the message lists those there are.
    """
    # Most models are defined in a module or package of their name: the others need no import then.
    for module in _modules():
        if name in module.split(".")[2:]:
            for kind in _classes(module):
                if kind.name == name:
                    return kind
    found = discover()
    if name not in found:
        raise InvalidInput(
            f"there is no model {name!r}; known are {', '.join(found)}", field="model"
        )
    return found[name]


def class_named(name: str) -> type[Model] | None:
    """Find a model class by its class name, such as ``ItemGraph``; None if there is none."""
    # Most classes are defined in a module or package of their name: the others need no import then.
    modules = sorted(_modules(), key=lambda m: name.lower() not in m.replace("_", "").split("."))
    for module in modules:
        for kind in _classes(module):
            if kind.__name__ == name:
                return kind
    return None


def make_model(name: str, settings: Mapping[str, Any]) -> Model:
    """Make a model that is not yet fitted, from its name and its settings as JSON values.

    Raises
    ------
    InvalidInput
        There is no such model, or it has no such setting.
    """
    kind = model_class(name)
    return kind(convert_settings(kind, settings))


def convert_settings(kind: type[Model], settings: Mapping[str, Any]) -> msgspec.Struct:
    """Turn JSON values into the configuration of a model class.

    What is not named keeps the model's own default, in nested settings too.
    """
    try:
        return msgspec.convert(_over(kind.config_type(), settings), kind.config_type)
    except msgspec.ValidationError as error:
        known = ", ".join(f"{name}={value!r}" for name, value in settings_of(kind).items())
        raise InvalidInput(
            f"settings of {kind.name}: {error}. Its settings and their defaults are: "
            f"{known or 'none'}",
            field="settings",
        ) from None


def _over(default: msgspec.Struct, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over the defaults of the structs that they name a part of."""
    found = dict(settings)
    for name, value in settings.items():
        own = getattr(default, name, None)
        if isinstance(own, msgspec.Struct) and isinstance(value, Mapping):
            found[name] = msgspec.to_builtins(own) | _over(own, value)
    return found


def settings_of(kind: type[Model]) -> dict[str, Any]:
    """Dotted name of every setting of a model class to its default, a JSON value."""
    return dict(_flat(kind.config_type(), ""))


def _flat(settings: msgspec.Struct, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        if isinstance(value, msgspec.Struct):
            yield from _flat(value, f"{prefix}{field}.")
        else:
            yield prefix + field, msgspec.to_builtins(value)


@cache
def _modules() -> tuple[str, ...]:
    """Dotted names of all modules of the package and its subpackages; nothing is imported."""
    folder = Path(nearline.models.__path__[0])
    files = sorted(folder.rglob("*.py"))
    parts = (file.relative_to(folder).with_suffix("").parts for file in files)
    return tuple(".".join((PACKAGE, *some)) for some in parts if some[-1] != "__init__")


def _classes(module: str) -> list[type[Model]]:
    content = import_module(module)
    return [
        kind
        for name, kind in inspect.getmembers(content, inspect.isclass)
        if kind.__module__ == content.__name__
        and not name.startswith("_")
        and issubclass(kind, Model)
        and not inspect.isabstract(kind)
    ]
