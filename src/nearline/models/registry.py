"""Finds the model classes of this package, so that nothing has to list them."""

import inspect
import pkgutil
from importlib import import_module

import nearline.models
from nearline.models.base import Model


def discover() -> dict[str, type[Model]]:
    """Every model class of `nearline.models` by its `name`, in the order of names.

    A class is found where it is defined: in a module of its own, with a public name, and with all
    verbs written.
    """
    found: dict[str, type[Model]] = {}
    for module in pkgutil.iter_modules(nearline.models.__path__):
        content = import_module(f"nearline.models.{module.name}")
        for name, kind in inspect.getmembers(content, inspect.isclass):
            own = kind.__module__ == content.__name__ and not name.startswith("_")
            if own and issubclass(kind, Model) and not inspect.isabstract(kind):
                found[kind.name] = kind
    return dict(sorted(found.items()))
