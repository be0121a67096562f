"""Amazon product reviews of 2014 (5-core): the order in which users reviewed products."""

from collections.abc import Callable
from pathlib import Path

from nearline.data.interactions import read_interactions
from nearline.data.items import read_items
from nearline.data.public.base import Progress, PublicDataset, local_folder
from nearline.errors import DataNotFound

TERMS = (
    "Amazon reviews 2014, 5-core (J. McAuley and others, SIGIR 2015), in the sequences published "
    "with S3-Rec (CIKM 2020). For research."
)


def load(
    name: str,
    path: str | Path | None,
    _cache: Path,
    _progress: Progress | None,
    _notify: Callable[[str], None],
) -> PublicDataset:
    """Read ``interactions.parquet`` and ``items.parquet`` from the folder `path`.

    A timestamp is the position in the user's sequence: 0 is the first.
    """
    folder = local_folder(name, path)
    if folder is None:
        raise DataNotFound(
            f"{name} cannot be fetched; pass the folder with its interactions.parquet (user_id, "
            f"item_id, position) and items.parquet (item_id, text), or keep it in "
            f"$NEARLINE_DATA/{name}"
        )
    interactions = read_interactions(
        folder / "interactions.parquet", columns={"timestamp": "position"}
    )
    items, _ = read_items(folder / "items.parquet", now=0.0)
    return PublicDataset(name, interactions, items, TERMS)
