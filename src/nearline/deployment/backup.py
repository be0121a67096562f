"""Backup of a store while it serves, and restoring it, up to an offset if asked."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from nearline.deployment.location import LOG, SNAPSHOTS, folder_of, log_url, snapshots_folder
from nearline.deployment.secret import KEY_FILE
from nearline.errors import DataNotFound, InvalidInput
from nearline.log import is_postgres, open_log, parse_target, url_of
from nearline.log.archive import archived_rows, is_archive, manifest_of
from nearline.log.base import ForgottenRows
from nearline.log.codec import Coded
from nearline.log.loading import load_file, rows_of
from nearline.sealing import KEYS, default_source, open_keys
from nearline.snapshots import Snapshot, SnapshotStore
from nearline.trust.ledger import Ledger


class BackedUp(Struct, frozen=True, kw_only=True):
    """Result of a backup or of restoring one.

    Attributes
    ----------
    store : str
        Folder that was written.
    offset : int
        End of its log.
    model : str or None
        ID of its active snapshot.
    """

    store: str
    offset: int
    model: str | None


def backup(store: str | Path, target: Path) -> BackedUp:
    """Write a store's log and active snapshot to a new folder, which is a store itself.

    Other processes may have the store open and go on writing.
    """
    folder = folder_of(store)
    _check_new(target)
    # The snapshot is read first, so that the log contains all that it reflects.
    snapshot = SnapshotStore(snapshots_folder(folder)).current()
    with open_log(log_url(folder), read_only=True) as log:
        target.mkdir(parents=True, exist_ok=True)
        log.copy_to(target / LOG)
    with suppress(FileNotFoundError):
        shutil.copy(folder / KEY_FILE, target / KEY_FILE)
    Ledger(folder).copy_to(target)
    with open_log(url_of(target / LOG), read_only=True) as copied:
        offset = copied.end
    return BackedUp(store=str(target), offset=offset, model=_promote(snapshot, target))


def restore(source: Path, store: str | Path, until: int | None = None) -> BackedUp:
    """Make a store from a backup or an archive: a new folder, or an empty log in PostgreSQL.

    Parameters
    ----------
    source : Path
        Folder of a backup or of an archive.
    store : str or Path
        New folder, or URL of a log in PostgreSQL.
    until : int or None
        Offset at which the log is to end; None for the end of the source. A snapshot that was
        trained on later records is left out.

    Raises
    ------
    DataNotFound
        The source is neither a backup nor an archive.
    InvalidInput
        The store exists, or `until` is after the end of the source.
    """
    archived = is_archive(source)
    if not archived and not (source / LOG).is_file():
        raise DataNotFound(f"{source} is neither a backup nor an archive; name its folder")
    if not is_postgres(store):
        _check_new(Path(store))
    snapshots = SnapshotStore(source / SNAPSHOTS)
    if archived:
        manifest = manifest_of(source)
        stop = _checked_end(until, manifest.end)
        rows = archived_rows(source, stop)
        _load(store, rows, manifest.erasures, manifest.forgotten)
    else:
        with open_log(url_of(source / LOG), read_only=True) as log:
            stop = _checked_end(until, log.end)
            if log.seal is not None:
                _take_keys(source, store)
            _load(store, rows_of(log, stop), log.erasures, log.forgotten)
    folder = folder_of(store)
    with suppress(FileNotFoundError):
        shutil.copy(source / KEY_FILE, folder / KEY_FILE)
    Ledger(source).copy_to(folder)
    snapshot = snapshots.current()
    if snapshot is not None and snapshot.manifest.offset > stop:
        snapshot = None
    return BackedUp(store=str(folder), offset=stop, model=_promote(snapshot, folder))


def _take_keys(source: Path, store: str | Path) -> None:
    """Copy the keys of a sealed backup to a new folder, whose log is then sealed, too."""
    if is_postgres(store):
        raise InvalidInput(
            "a sealed store cannot be restored to PostgreSQL, where it would be readable; name a "
            "folder",
            field="store",
        )
    folder = Path(store)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / KEYS, folder / KEYS)
    open_keys(folder, default_source())


def _load(
    store: str | Path, rows: Iterator[Coded], erasures: int, forgotten: ForgottenRows
) -> None:
    if is_postgres(store):
        from nearline.log.postgres.copying import load_postgres

        load_postgres(parse_target(str(store)), rows, erasures, forgotten)
        return
    Path(store).mkdir(parents=True, exist_ok=True)
    load_file(rows, erasures, Path(store) / LOG, forgotten)


def _promote(snapshot: Snapshot | None, folder: Path) -> str | None:
    if snapshot is None:
        return None
    snapshots = SnapshotStore(snapshots_folder(folder))
    snapshots.write(snapshot.manifest, snapshot.arrays, snapshot.item_ids)
    snapshots.promote(snapshot.manifest.id)
    return snapshot.manifest.id


def _checked_end(until: int | None, end: int) -> int:
    if until is None:
        return end
    if not 0 <= until <= end:
        raise InvalidInput(
            f"until is {until}; the records are those before offset {end:,}", field="until"
        )
    return until


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} exists and is not an empty folder; name a new one")
