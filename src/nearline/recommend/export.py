"""Streaming, resumable export of the lists of many users to a folder of Parquet files.

A part file contains the lists of 65,536 users, with one row group per block. It gets its name once
it is complete and on disk. A manifest beside the parts describes the export. A run that finds the
manifest of an equal export resumes after the last complete part.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
import pyarrow as pa
from msgspec import Struct
from pyarrow import parquet

from nearline.common.progress import Progress, no_progress
from nearline.data import Weight, read_user_ids
from nearline.errors import Damaged, InvalidInput
from nearline.recommend.batch import BLOCK, recommend_many
from nearline.recommend.field_columns import column_types
from nearline.recommend.lists import View
from nearline.recommend.scenarios import resolved
from nearline.schema import ListOptions, check_id, check_options

logger = logging.getLogger(__name__)

# Readers of Parquet data sets ignore names with a leading underscore.
MANIFEST = "_nearline_export.json"
PARTIAL = "_partial"
PART_USERS = 16 * BLOCK
SCHEMA = pa.schema(
    {"user_id": pa.string(), "item_id": pa.string(), "score": pa.float64(), "rank": pa.int64()}
)


class ExportManifest(Struct, frozen=True, kw_only=True):
    """Description of an export.

    Attributes
    ----------
    model, offset, erasures : str, int, int
        Model, log offset and number of erasures when the export began.
    options : ListOptions
        Options of every list.
    n_users, part_users : int
        Number of users, in total and per part file.
    users : str
        Digest of the user IDs, in order.
    made_at : float
        Time that all lists are computed for, in Unix seconds; a resumed run keeps it.
    complete : bool
        Whether all parts are written.
    """

    model: str
    offset: int
    erasures: int
    options: ListOptions
    n_users: int
    part_users: int
    users: str
    made_at: float
    complete: bool = False

    def same_as(self, other: "ExportManifest") -> bool:
        """Return whether both describe the same lists, apart from time and progress."""
        return msgspec.structs.replace(other, made_at=self.made_at, complete=self.complete) == self


class Exported(Struct, frozen=True):
    """Result of an export.

    Attributes
    ----------
    path : str
        Folder, which ``pyarrow.dataset.dataset`` and ``pandas.read_parquet`` can read.
    model, offset : str, int
        Model and log offset of the lists.
    users, rows, parts : int
        Number of users, of lines in all lists, and of part files.
    resumed : int
        Number of parts that an earlier run had written.
    started_over : bool
        Whether an export of another model, offset, set of users or options was deleted.
    """

    path: str
    model: str
    offset: int
    users: int
    rows: int
    parts: int
    resumed: int
    started_over: bool


def export(
    path: Path,
    users: object,
    options: ListOptions,
    view: View,
    *,
    erasures: int,
    weight: Weight,
    part_users: int = PART_USERS,
    progress: Progress = no_progress,
) -> Exported:
    """Write the lists of users to the folder `path`: `user_id`, `item_id`, `score` and `rank`.

    Parameters
    ----------
    users : iterable of str, frame, path or None
        IDs, or a table with a column `user_id`; None means all users with a history. Duplicates are
        ignored.
    options : ListOptions
        Options of every list.
    erasures : int
        Number of erasures of the log: an erasure changes lists, but not the offset.
    part_users : int
        Number of users per part file.

    Raises
    ------
    InvalidInput
        `path` is a file or contains other files than an export; a user or an option is invalid.

    Notes
    -----
    Memory is bounded by one block of lists, beside the user IDs. If `path` contains an export with
    another manifest, it is deleted, and a warning is logged.
    """
    asked, options = options, resolved(options, view.state)
    check_options(options)
    if part_users < 1:
        raise InvalidInput(f"part_users is {part_users}; it must be at least 1", field="part_users")
    user_ids = _user_ids(users, view)
    wanted = ExportManifest(
        model=view.model_id,
        offset=view.state.offset,
        erasures=erasures,
        options=options,
        n_users=len(user_ids),
        part_users=part_users,
        users=_digest(user_ids),
        made_at=view.now,
    )
    manifest, started_over = _begin(path, wanted)
    # All parts, including those of an earlier run, use the same time.
    view = msgspec.structs.replace(view, now=manifest.made_at)

    def tables(first: int, last: int) -> Iterable[pa.Table]:
        for start in range(first, last, BLOCK):
            some = user_ids[start : min(start + BLOCK, last)]
            yield pa.table(recommend_many(some, asked, view, weight=weight, fields=fields))
            progress(start + len(some), len(user_ids), "users")

    fields = column_types(options.fields, view.state)
    schema = pa.schema([*SCHEMA, *fields.items()])
    rows, resumed = [], 0
    for number, first in enumerate(range(0, len(user_ids), part_users)):
        part = path / f"part-{number:05d}.parquet"
        last = min(first + part_users, len(user_ids))
        there = _rows_of(part)
        if there is not None:
            resumed += 1
            progress(last, len(user_ids), "users")
        rows.append(_write(part, schema, tables(first, last)) if there is None else there)
    _save(path / MANIFEST, msgspec.structs.replace(manifest, complete=True))
    done = (len(user_ids), sum(rows), len(rows), resumed, started_over)
    return Exported(str(path), manifest.model, manifest.offset, *done)


def _user_ids(users: object, view: View) -> list[str]:
    if users is None:
        found = view.state.user_ids()
    elif (
        isinstance(users, Iterable) and not isinstance(users, str) and not hasattr(users, "columns")
    ):
        found = list(users)
    else:
        try:
            found = read_user_ids(users)
        except InvalidInput as error:
            if not isinstance(users, str | Path):
                raise
            raise InvalidInput(f"{users}: {error.message}", field=error.field) from error
    found = list(dict.fromkeys(check_id(user, "users") for user in found))
    if not found:
        raise InvalidInput(
            "there are no users to recommend to; import interactions first, or give users"
        )
    return found


def _digest(user_ids: Sequence[str]) -> str:
    digest = blake2b(digest_size=16)
    for user in user_ids:
        digest.update(user.encode() + b"\0")  # IDs contain no NUL
    return digest.hexdigest()


def _begin(path: Path, wanted: ExportManifest) -> tuple[ExportManifest, bool]:
    """Return the manifest to continue with, and whether another export was deleted."""
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{path} is a file; give a folder")
    path.mkdir(parents=True, exist_ok=True)
    file = path / MANIFEST
    if not file.exists():
        if any(entry.name != PARTIAL for entry in path.iterdir()):
            raise InvalidInput(f"{path} is not empty and contains no export; give another folder")
        _save(file, wanted)
        return wanted, False
    found = _load(file)
    if found is not None and found.same_as(wanted):
        return found, False
    logger.warning(
        "%s contains another export (%s); starting over", path, _difference(found, wanted)
    )
    # With a manifest of no users first, parts never lie beside the manifest of another export.
    _save(file, msgspec.structs.replace(wanted, n_users=0))
    for part in (*path.glob("part-*.parquet"), path / PARTIAL):
        part.unlink(missing_ok=True)
    _save(file, wanted)
    return wanted, True


def _difference(found: ExportManifest | None, wanted: ExportManifest) -> str:
    if found is None:
        return "its manifest cannot be read"
    before, now = _flat(found), _flat(wanted)
    return ", ".join(
        f"{name} {before[name]}, now {now[name]}" for name in now if before[name] != now[name]
    )


def _flat(manifest: ExportManifest) -> dict[str, object]:
    """Return the fields that determine the lists, by name."""
    fields = msgspec.structs.asdict(manifest)
    for name in ("options", "made_at", "complete"):
        del fields[name]
    return fields | msgspec.structs.asdict(manifest.options)


def _load(file: Path) -> ExportManifest | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=ExportManifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _save(file: Path, manifest: ExportManifest) -> None:
    content = msgspec.json.format(msgspec.json.encode(manifest))

    def write(partial: Path) -> None:
        partial.write_bytes(content)

    _put(file, write)


def _rows_of(part: Path) -> int | None:
    """Return the number of rows of a part; None if it is missing."""
    if not part.exists():
        return None
    try:
        return int(parquet.read_metadata(part).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise Damaged(
            f"{part} cannot be read ({error}); delete it and export again to rewrite only it"
        ) from error


def _write(part: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    rows = 0

    def write(partial: Path) -> None:
        nonlocal rows
        with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
                rows += table.num_rows

    _put(part, write)
    return rows


def _put(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` create a file, and give it its name once it is on disk."""
    partial = path.with_name(PARTIAL)
    write(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
