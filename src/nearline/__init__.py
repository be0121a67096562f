"""Nearline: a real-time recommender system.

>>> import nearline as nl
>>> rec = nl.Recommender()
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearline.config import Config
    from nearline.engine import Recommender
    from nearline.errors import NearlineError
    from nearline.schema import Answer, Event, Explanation, Item, Part, Recommendation, ScoredItem
    from nearline.server.notebook import show

__version__: str

__all__ = [
    "Answer",
    "Config",
    "Event",
    "Explanation",
    "Item",
    "NearlineError",
    "Part",
    "Recommendation",
    "Recommender",
    "ScoredItem",
    "show",
]

_MODULES = {
    "Recommender": "engine",
    "Config": "config",
    "NearlineError": "errors",
    "show": "server.notebook",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: `nearline --help` and `import nearline` stay quick.
    if name == "__version__":
        return import_module("importlib.metadata").version("nearline")
    if name not in __all__:
        raise AttributeError(f"module 'nearline' has no attribute {name!r}")
    return getattr(import_module(f"nearline.{_MODULES.get(name, 'schema')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
