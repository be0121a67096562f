"""Recommendation algorithms with a common interface (`base.Model`).

Model classes can be imported from here, as in ``from nearline.models import ItemGraph``; a class is
loaded on first access.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a model class by its name, such as ``ItemGraph``."""
    # A class name starts with a capital; other names are submodules or special attributes.
    if name[:1].isupper():
        from nearline.models.registry import class_named

        found = class_named(name)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute or model class {name!r}")
