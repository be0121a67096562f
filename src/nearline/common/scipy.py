"""SciPy, which is optional: a few models need it."""

from importlib import import_module
from typing import Any

from nearline.errors import MissingExtra


def scipy_module(name: str, user: str) -> Any:
    """Import a module of SciPy.

    Parameters
    ----------
    name : str
        Name of the module.
    user : str
        What needs it, for the message.

    Raises
    ------
    MissingExtra
        SciPy is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"{user} needs SciPy; install it: pip install 'nearline[classic]'"
        ) from error
