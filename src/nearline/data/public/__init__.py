"""Public data sets by name."""

import difflib
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nearline.data.public import amazon, movielens, retail
from nearline.data.public.base import Progress, PublicDataset, cache_folder
from nearline.data.public.synthetic import synthetic_shop
from nearline.errors import InvalidInput

__all__ = ["DATASETS", "PublicDataset", "load_dataset", "synthetic_shop"]

_log = logging.getLogger(__name__)
_AMAZON = ("amazon-beauty", "amazon-sports", "amazon-toys")
_Load = Callable[[str | Path | None, Path, Progress | None, Callable[[str], None]], PublicDataset]
_LOADERS: dict[str, _Load] = {
    movielens.NAME: movielens.load,
    retail.NAME: retail.load,
    **{name: partial(amazon.load, name) for name in _AMAZON},
}
DATASETS = (*_LOADERS, "synthetic")


def load_dataset(
    name: str,
    path: str | os.PathLike[str] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] = _log.info,
) -> PublicDataset:
    """Load a public data set by its name; download it if necessary and possible.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    path : path, optional
        Folder or file of the data set. By default, ``$NEARLINE_DATA/name`` and the cache are
        tried before a download.
    cache : path, optional
        Folder for downloads; by default ``$NEARLINE_CACHE`` or ``~/.cache/nearline``.
    progress : callable, optional
        Called with (bytes done, total bytes or 0, file name) during a download.
    notify : callable
        Called once with the terms of use before a download.

    Raises
    ------
    InvalidInput
        The name is unknown, or `path` contains something else.
    DataNotFound
        The data set is not on this machine and cannot be downloaded; the message says what to do.
    """
    if name == "synthetic":
        return synthetic_shop(users=1_000, items=500, events=30_000, seed=0)
    if name not in _LOADERS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        raise InvalidInput(
            f"there is no data set {name!r}; known are {', '.join(DATASETS)}"
            + (f". Did you mean {near[0]!r}?" if near else ""),
            field="name",
        )
    where = Path(path) if path is not None else None
    return _LOADERS[name](where, cache_folder(cache), progress, notify)
