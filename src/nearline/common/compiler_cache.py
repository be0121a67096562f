"""Where compiled kernels are kept, and whether any are there yet."""

import os
from pathlib import Path


def cache_folders() -> list[Path]:
    """Return the folders that the compiler may keep kernels in, in the order in which it looks."""
    import nearline

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return [Path(chosen)]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(nearline.__path__[0]) / "kernels", home / "numba"]


def is_empty() -> bool:
    """Whether no kernel was compiled yet on this machine, as far as can be seen."""
    return not any(
        next(folder.rglob("*.nbi"), None) for folder in cache_folders() if folder.is_dir()
    )
