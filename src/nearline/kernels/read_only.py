"""Compiled kernels in folders that cannot be written, such as those of a container image.

Numba keeps compiled functions only in a folder that it can write, and refuses to define a function
where there is none. Where the folders of compiled kernels are read-only, this locator makes a
folder in the system's temporary folder, with links to what was compiled before.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import config as numba_config
from numba.core.caching import InTreeCacheLocator

# Numba has no types.
config: Any = numba_config

# The locators of Numba, in its order, and ours behind them.
LOCATORS = (
    "UserProvidedCacheLocator",
    "InTreeCacheLocator",
    "UserWideCacheLocator",
    "IPythonCacheLocator",
    "ZipCacheLocator",
    "nearline.kernels.read_only.LinkedLocator",
)


class LinkedLocator(InTreeCacheLocator):
    """A folder for compiled kernels, with links to those in a folder that cannot be written."""

    def __init__(self, py_func: Callable[..., object], py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[no-untyped-call]
        name: str = self.get_suitable_cache_subpath(py_file)  # type: ignore[no-untyped-call]
        kept = Path(config.CACHE_DIR, name) if config.CACHE_DIR else Path(self._cache_path)
        self._cache_path = str(_linked(kept, name))


@cache
def _linked(kept: Path, name: str) -> Path:
    """Return a folder of this user's own with links to all files in another folder."""
    folder = Path(tempfile.gettempdir(), f"nearline-kernels-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # Compiled kernels are code: what other users could have put there must not be loaded.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    linked = folder / name
    linked.mkdir(exist_ok=True)
    for file in kept.glob("*.nb[ci]"):
        with suppress(FileExistsError):  # linked by another process, or compiled here
            (linked / file.name).symlink_to(file)
    return linked


def use() -> None:
    """Let Numba look here where it finds no folder to write to."""
    if not config.CACHE_LOCATOR_CLASSES:
        config.CACHE_LOCATOR_CLASSES = ",".join(LOCATORS)
