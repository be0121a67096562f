"""Archive of a log: a folder of Parquet files by offsets, which grows by what is new.

The columns of events can be read by any tool; the column `payload` has each record as it is in the
log, from which `nearline restore` makes a log again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct
from pyarrow import parquet

from nearline.common.files import sync_path
from nearline.common.progress import Progress, no_progress
from nearline.errors import Damaged, InvalidInput
from nearline.log.base import ForgottenRows, ReadOnlyLog
from nearline.log.codec import Coded, decode, encode, keys_of, kind_of
from nearline.schema import Erased, Event, Record

# Readers of Parquet data sets ignore names with a leading underscore.
MANIFEST = "_nearline_archive.json"
PART_RECORDS = 1_000_000
_BATCH = 20_000
TOMBSTONE = b"\0"
_ERASED = "erased"
_EVENT_FIELDS = ("item_id", "timestamp", "event", "event_id", "value", "session_id")
SCHEMA = pa.schema(
    {
        "offset": pa.int64(),
        "kind": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "timestamp": pa.float64(),
        "event": pa.string(),
        "event_id": pa.string(),
        "value": pa.float64(),
        "session_id": pa.string(),
        "payload": pa.binary(),
    }
)


class ArchiveManifest(Struct, frozen=True, kw_only=True):
    """Contents of an archive.

    Attributes
    ----------
    end, erasures : int
        End and number of erasures of the log when the archive was last written.
    parts : list of str
        Names of the files, in order.
    forgotten : ForgottenRows
        Hashes of erased users.
    """

    end: int = 0
    erasures: int = 0
    parts: list[str] = []
    forgotten: ForgottenRows = ForgottenRows()


class Archived(Struct, frozen=True, kw_only=True):
    """Result of an archiving.

    Attributes
    ----------
    records, end : int
        Number of records that were written, and end of the archive.
    parts : int
        Number of files of the archive.
    rewritten : bool
        Whether all files were written again, because of an erasure.
    """

    records: int
    end: int
    parts: int
    rewritten: bool


def archive_log(
    log: ReadOnlyLog,
    folder: Path,
    *,
    part_records: int = PART_RECORDS,
    progress: Progress = no_progress,
) -> Archived:
    """Append the new records of a log to an archive; create the archive if there is none.

    After an erasure, all files are written again, since they contain the erased records.

    Raises
    ------
    InvalidInput
        The folder is not empty and no archive, the log ends before the archive, or it is sealed.
    """
    if log.seal is not None:
        raise InvalidInput(
            "the store is sealed, and an archive is not: erased users would remain readable in "
            "copies of it; use nearline backup",
            field="folder",
        )
    manifest = manifest_of(folder)
    if log.end < manifest.end or log.erasures < manifest.erasures:
        raise InvalidInput(
            f"the archive {folder} has {manifest.end:,} records and {manifest.erasures} erasures, "
            f"and the log {log.end:,} and {log.erasures}: offsets went back, so this is another "
            "log, or an older copy; name another folder",
            field="folder",
        )
    rewritten = manifest.erasures != log.erasures and manifest.end > 0
    old = manifest.parts
    start, parts = (0, []) if rewritten else (manifest.end, list(old))
    first = start
    while start < log.end:
        stop = min(log.end, start + part_records)
        name = f"part-{start:012d}-{stop:012d}-{log.erasures}.parquet"
        _write_part(log, folder / name, start, stop)
        parts.append(name)
        start = stop
        progress(start - first, log.end - first, "archive")
    manifest = ArchiveManifest(
        end=log.end, erasures=log.erasures, parts=parts, forgotten=log.forgotten
    )
    _write_manifest(folder, manifest)
    for name in set(old) - set(parts):
        (folder / name).unlink(missing_ok=True)
    return Archived(records=log.end - first, end=log.end, parts=len(parts), rewritten=rewritten)


def is_archive(folder: Path) -> bool:
    """Return whether a folder contains an archive."""
    return (folder / MANIFEST).is_file()


def archived_rows(folder: Path, until: int | None = None) -> Iterator[Coded]:
    """Yield the rows of an archive in order, up to the offset `until`."""
    manifest, place = manifest_of(folder), 0
    stop = manifest.end if until is None else min(until, manifest.end)
    for name in manifest.parts:
        try:
            file = parquet.ParquetFile(folder / name)
            for batch in file.iter_batches(_BATCH, columns=["offset", "payload"]):
                for offset, payload in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                    if place >= stop:
                        return
                    if offset != place:
                        raise Damaged(f"{folder / name} lacks the record at offset {place}")
                    yield coded_again(place, payload)
                    place += 1
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{folder / name} cannot be read: {error}; archive the log again") from (
                error
            )


def coded_again(offset: int, payload: bytes) -> Coded:
    """Return a payload with its keys; a tombstone has none."""
    if payload[:1] == TOMBSTONE:
        return Coded(TOMBSTONE)
    return Coded(payload, *keys_of(decode(offset, payload)))


def manifest_of(folder: Path) -> ArchiveManifest:
    """Return the contents of an archive; an empty one is made in a new folder."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=ArchiveManifest)
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInput(
                f"{folder} is neither empty nor an archive; name another folder", field="folder"
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        return ArchiveManifest()
    except msgspec.DecodeError as error:
        raise Damaged(f"{path} cannot be read: {error}; archive to another folder") from error


def _write_manifest(folder: Path, manifest: ArchiveManifest) -> None:
    partial = folder / "_manifest.partial"
    partial.write_bytes(msgspec.json.encode(manifest))
    sync_path(partial)
    partial.replace(folder / MANIFEST)


def _write_part(log: ReadOnlyLog, path: Path, start: int, stop: int) -> None:
    partial = path.with_name("_part.partial")
    with parquet.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        while start < stop:
            end = min(stop, start + _BATCH)
            rows = [_row(offset, record) for offset, record in log.read(start, end)]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            start = end
    sync_path(partial)
    partial.replace(path)


def _row(offset: int, record: Record) -> dict[str, Any]:
    if isinstance(record, Erased):
        return {"offset": offset, "kind": _ERASED, "payload": TOMBSTONE}
    row = {"offset": offset, "kind": kind_of(record), "payload": encode(record).payload}
    row["user_id"] = getattr(record, "user_id", None)
    row["timestamp"] = record.timestamp
    if isinstance(record, Event):
        row |= {name: getattr(record, name) for name in _EVENT_FIELDS}
    else:
        row["item_id"] = getattr(record, "item_id", None)
    return row
