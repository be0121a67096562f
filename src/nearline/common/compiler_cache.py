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


def is_empty(kernel: str = "") -> bool:
    """Return whether no kernel was compiled on this machine yet.

    Parameters
    ----------
    kernel : str
        Look for this kernel only, such as ``scoring._rank_rows``: module and function.
    """
    pattern = f"{kernel}-*.nbi" if kernel else "*.nbi"
    return not any(
        next(folder.rglob(pattern), None) for folder in cache_folders() if folder.is_dir()
    )
