"""Registry of model classes, which are found by a search of the modules of this package."""

import inspect
import re
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
    """Return all model classes of `nearline.models` by `name`, in alphabetical order.

    A model class is a public, non-abstract subclass of `Model`.
    """
    found = {kind.name: kind for module in _modules() for kind in _classes(module)}
    return dict(sorted(found.items()))


def model_class(name: str) -> type[Model]:
    """Return the model class with a name, such as ``item_graph``.

    Raises
    ------
    InvalidInput
        There is no such model; the message lists all names.
    """
    # Modules with that name are searched first, to avoid importing the others.
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
    """Return the model class with a class name, such as ``ItemGraph``; None if there is none."""
    # Modules with that name are searched first, to avoid importing the others.
    modules = sorted(_modules(), key=lambda m: name.lower() not in m.replace("_", "").split("."))
    for module in modules:
        for kind in _classes(module):
            if kind.__name__ == name:
                return kind
    return None


def make_model(name: str, settings: Mapping[str, Any]) -> Model:
    """Create an untrained model from its name and settings, which are JSON values.

    Raises
    ------
    InvalidInput
        There is no such model, or a setting is unknown or invalid.
    """
    kind = model_class(name)
    return kind(convert_settings(kind, settings))


def convert_settings(kind: type[Model], settings: Mapping[str, Any]) -> msgspec.Struct:
    """Convert settings from JSON values to the class `config_type` of a model class.

    Settings that are not given have the defaults of the model, also in nested structs.

    Raises
    ------
    InvalidInput
        A setting is unknown or invalid; the message lists all settings.
    """
    try:
        return msgspec.convert(_over(kind.config_type(), settings), kind.config_type)
    except msgspec.ValidationError as error:
        known = ", ".join(f"{name}={value!r}" for name, value in settings_of(kind).items())
        raise InvalidInput(
            f"settings of {kind.name}: {error}{_shown(settings, str(error))}. Its settings and "
            f"their defaults are: {known or 'none'}",
            field="settings",
        ) from None


def _shown(settings: Mapping[str, Any], error: str) -> str:
    """Return the value of the invalid setting, which msgspec names by its place only."""
    place = re.search(r"`\$\.([\w.]+)`", error)
    value: Any = settings
    for name in place.group(1).split(".") if place else ():
        if not isinstance(value, Mapping) or name not in value:
            return ""
        value = value[name]
    return f" (it is {value!r:.50})" if place else ""


def _over(default: msgspec.Struct, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which partial nested structs are completed by their defaults."""
    found = dict(settings)
    for name, value in settings.items():
        own = getattr(default, name, None)
        if isinstance(own, msgspec.Struct) and isinstance(value, Mapping):
            found[name] = msgspec.to_builtins(own) | _over(own, value)
    return found


def settings_of(kind: type[Model]) -> dict[str, Any]:
    """Return the default of each setting of a model class, as a JSON value, by dotted name."""
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
    """Return the dotted names of all modules of the package, without importing them."""
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
