"""Data sets by name."""

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
    """Load a data set by its name, fetching it where that is allowed and needed.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    path : path, optional
        Where the data set already lies; without it ``$NEARLINE_DATA/name`` and the cache are
        looked at first.
    cache : path, optional
        Folder for downloads; by default ``$NEARLINE_CACHE`` or ``~/.cache/nearline``.
    progress : callable, optional
        Told (bytes done, bytes in all or 0, file name) during a download.
    notify : callable
        Told the terms of use, once, before a data set is fetched.

    Raises
    ------
    InvalidInput
        There is no data set of this name, or `path` holds something else.
    DataNotFound
        It is not there and cannot be fetched; the message says what to do.
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
