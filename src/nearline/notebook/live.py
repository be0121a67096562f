"""Output of a notebook cell that is redrawn; nothing outside a notebook."""

import sys
from collections.abc import Callable
from typing import Any


class _Html:
    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


def live_output() -> Callable[[str], None]:
    """Return a function that draws HTML into the output of the current cell, replacing the last.

    IPython is used if it already runs this process, and never imported.
    """
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return lambda _: None
    handle = ipython.display.display(_Html(""), display_id=True)
    return lambda html: None if handle is None else handle.update(_Html(html))
