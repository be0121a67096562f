"""Opening of sealed stores, and conversion of a store into a sealed one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nearline.common.files import overwrite, sync_path
from nearline.common.progress import Progress, no_progress
from nearline.deployment.location import LOG, log_url
from nearline.deployment.texts import VECTORS
from nearline.encoders import VectorCache
from nearline.errors import InvalidInput
from nearline.ingest import forget_examples
from nearline.ingest.quarantine import Quarantine
from nearline.log import is_postgres
from nearline.log.codec import Coded, decode, keys_of
from nearline.log.lock import StoreLock
from nearline.log.sealed_rows import sealed_rows
from nearline.log.tables import Tables, runs_of
from nearline.schema import Erased
from nearline.sealing import KEYS, Seal, default_source, make_keys, open_keys, unlocked_beside
from nearline.served.segments import FOLDER as SERVED
from nearline.served.segments import seal_segments

# The sealed log while it is written, and the plain one until it is overwritten.
PARTIAL, PLAIN = f"{LOG}.sealing", f"{LOG}.plain"
_STATE = "state.checkpoint"


def unlock_store(folder: Path, source: str | None) -> None:
    """Unlock the keys of a sealed store; make them for a new store if there is a source.

    Raises
    ------
    InvalidInput
        The store is not sealed and not new, although there is a source; or the master key is
        missing or another one.
    """
    if is_postgres(log_url(folder)):
        if source is not None:
            raise InvalidInput(
                "a log in PostgreSQL cannot be sealed; encrypt the volume of the database, or use "
                "a store in a folder",
                field="seal",
            )
        return
    if not (folder / KEYS).is_file() and source is None:
        return  # if the log is sealed, opening it raises an error
    log = folder / LOG
    if not log.is_file():
        if source is not None:
            make_keys(folder, source)
        return
    with closing(Tables(log, read_only=True)) as tables:
        sealed, end = tables.sealed, tables.end
    if sealed:
        open_keys(folder, source or default_source())
        _finish(folder)
    elif source is not None:
        what = f"has {end:,} records" if end else "is there"
        raise InvalidInput(
            f"the store {folder} is not sealed and {what}; seal it with: nearline seal --store "
            f"{folder}",
            field="seal",
        )


@contextmanager
def reading_seal(folder: Path) -> Iterator[Seal | None]:
    """Return the seal of a store that another process may have open; None if it is not sealed."""
    if not (folder / KEYS).is_file():
        yield None
        return
    unlocked = unlocked_beside(folder / LOG) or open_keys(folder, default_source())
    with closing(Seal(unlocked, read_only=True)) as seal:
        yield seal


def seal_store(folder: Path, source: str, *, progress: Progress = no_progress) -> int:
    """Seal a store that no process has open; return the number of its records.

    The sealed log is written beside the plain one and replaces it atomically; then the plain one is
    overwritten. If the process is killed, the store is as before, or sealed; call this again.

    Raises
    ------
    StoreInUse
        The store is open.
    InvalidInput
        The master key is missing or another one, or the log is in PostgreSQL.
    """
    if is_postgres(log_url(folder)):
        unlock_store(folder, source)
    lock = StoreLock(folder / LOG)
    try:
        with closing(Tables(folder / LOG, read_only=True)) as tables:
            sealed, end = tables.sealed, tables.end
        if sealed:
            open_keys(folder, source)
        else:
            _replace_log(folder, source, progress)
        _finish(folder)
        with closing(Seal(open_keys(folder, source))) as seal:
            seal_segments(folder / SERVED, seal)
            Quarantine(folder, seal).seal()
        if (folder / VECTORS).is_file():
            with closing(VectorCache(folder / VECTORS)) as vectors:
                vectors.seal()
        return end
    finally:
        lock.release()


def _replace_log(folder: Path, source: str, progress: Progress) -> None:
    with closing(Tables(folder / LOG)) as plain:
        plain.scrub()  # everything is in the log file itself from here on
        make_keys(folder, source)
        _write_sealed(plain, folder / PARTIAL, progress)
    # The keys of the records are indexed again when the log is opened.
    shutil.rmtree(runs_of(folder / PARTIAL), ignore_errors=True)
    (folder / PLAIN).unlink(missing_ok=True)
    os.link(folder / LOG, folder / PLAIN)
    (folder / PARTIAL).replace(folder / LOG)
    sync_path(folder)


def _write_sealed(plain: Tables, path: Path, progress: Progress) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    shutil.rmtree(runs_of(path), ignore_errors=True)
    with closing(Tables(path)) as sealed:
        for block in plain.blocks(0, plain.end):
            records = [(offset, decode(offset, payload)) for offset, payload in block]
            coded = [
                Coded(payload, *keys_of(record))
                for (_, payload), (_, record) in zip(block, records, strict=True)
            ]
            alive = [(c, r) for c, r in zip(coded, records, strict=True) if r[1] != Erased()]
            rows = iter(sealed_rows(sealed.seal, [c for c, _ in alive], [r for _, r in alive]))
            sealed.insert(
                [c if r[1] == Erased() else next(rows) for c, r in zip(coded, records, strict=True)]
            )
            progress(block[-1][0] + 1, plain.end, "seal the log")
        sealed.count_erasures(plain.erasures, plain.forgotten_rows())
        for marker, end in plain.markers():
            sealed.mark(marker, end)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _finish(folder: Path) -> None:
    """Overwrite and remove the plain files that a sealed log has replaced."""
    plain = folder / PLAIN
    if not plain.exists():
        return
    forget_examples(folder)
    for path in (plain, folder / _STATE):
        overwrite(path)
