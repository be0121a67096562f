"""Snapshots in a folder: written atomically, verified on load, promoted in a separate step.

snapshots/PROMOTED                    promoted IDs, oldest first; the last one serves
snapshots/<id>/manifest.json
snapshots/<id>/arrays.safetensors
snapshots/.writing-*                  temporary folders, possibly left by a crash: ignored
"""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from nearline.common.files import sync_path
from nearline.errors import Damaged, DataNotFound, InvalidInput, NotTrained
from nearline.snapshots import item_ids as ids
from nearline.snapshots.arrays import Array, describe, map_arrays, write_arrays
from nearline.snapshots.manifest import (
    ID_PATTERN,
    MAX_MANIFEST_BYTES,
    Manifest,
    decode,
    encode,
    stored_arrays,
)

logger = logging.getLogger(__name__)

PROMOTED = "PROMOTED"
MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"
TEMPORARY = ".writing-"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was loaded from disk and verified.

    Attributes
    ----------
    manifest : Manifest
    arrays : dict of str to array
        Arrays of the model, memory-mapped and read-only.
    item_ids : list of str
        ID of each item by index: ``manifest.n_items`` IDs.
    """

    manifest: Manifest
    arrays: dict[str, Array]
    item_ids: list[str]


class SnapshotStore:
    """Folder of snapshots. The first write creates it.

    There may be one writer at a time, which holds the lock of the store's log, and any number of
    readers.

    Parameters
    ----------
    folder : Path
        Folder of the snapshots.

    Attributes
    ----------
    problems : list of str
        Reasons why the last search for the current snapshot skipped newer ones; empty if the
        newest promoted snapshot is intact.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self._lock = Lock()
        self._writers = 0
        self._deferred: tuple[int, Collection[str]] | None = None

    def write(
        self, manifest: Manifest, arrays: Mapping[str, Array], item_ids: Sequence[str]
    ) -> None:
        """Write a snapshot; do nothing if it exists and is intact.

        The snapshot is durable when the method returns. It answers requests only after `promote`.

        Parameters
        ----------
        manifest : Manifest
            Result of `manifest.build` for the same arrays and IDs.
        arrays : dict of str to array
            Arrays of the model.
        item_ids : sequence of str
            ID of each item by index.

        Raises
        ------
        InvalidInput
            The arrays or IDs do not match the manifest.
        """
        stored = stored_arrays(arrays, item_ids)
        if {name: describe(array) for name, array in stored.items()} != manifest.arrays:
            raise InvalidInput(
                f"the arrays are not those that snapshot {manifest.id} was built from; "
                "build a manifest from these",
                field="arrays",
            )
        if self._is_sound(manifest.id):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        sync_path(self.folder.parent)
        with self._temporary() as temporary:
            fresh, target = temporary / "fresh", self._path(manifest.id)
            fresh.mkdir()
            (fresh / MANIFEST).write_bytes(encode(manifest))
            write_arrays(fresh / ARRAYS, stored)
            # safetensors creates files that only their owner can read.
            shutil.copymode(fresh / MANIFEST, fresh / ARRAYS)
            for path in (fresh / MANIFEST, fresh / ARRAYS, fresh):
                sync_path(path)
            if target.exists():
                target.rename(temporary / "damaged")
            fresh.rename(target)
            sync_path(self.folder)

    def load(self, snapshot_id: str) -> Snapshot:
        """Verify all bytes of a snapshot and memory-map its arrays.

        Raises
        ------
        InvalidInput
            `snapshot_id` is not a valid ID.
        DataNotFound
            There is no such snapshot.
        Damaged
            The content does not match the ID; the message names the file and the array.
        """
        folder = self._path(snapshot_id)
        if not folder.is_dir():
            raise DataNotFound(
                f"there is no snapshot {snapshot_id} in {self.folder}; "
                "list the snapshots, or train again"
            )
        manifest = self._read_manifest(snapshot_id)
        arrays = map_arrays(folder / ARRAYS, manifest.arrays)
        if not {ids.BYTES, ids.STARTS} <= arrays.keys():
            raise Damaged(f"snapshot {folder} has no item ids; use another snapshot or train again")
        item_ids = ids.unpack(arrays, manifest.n_items)
        own = {name: array for name, array in arrays.items() if not name.startswith(ids.PREFIX)}
        return Snapshot(manifest, own, item_ids)

    def has(self, snapshot_id: str) -> bool:
        """Return whether a snapshot with this ID exists, intact or damaged."""
        return self._path(snapshot_id).is_dir()

    def written(self, snapshot_id: str) -> float:
        """Return the time at which a snapshot was written, in Unix seconds; 0 if it was removed."""
        try:
            return (self._path(snapshot_id) / MANIFEST).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def promote(self, snapshot_id: str) -> Snapshot:
        """Load a snapshot and append it to the promotion history, which makes it the current one.

        Promoting the current snapshot again does not change the history. The errors are those of
        `load`.
        """
        snapshot = self.load(snapshot_id)
        history = self.promoted()
        if history[-1:] != [snapshot_id]:
            self._write_promoted([*history, snapshot_id])
        return snapshot

    def replace_promoted(self, snapshot_id: str) -> Snapshot:
        """Load a snapshot and let it replace the current one in the promotion history."""
        snapshot = self.load(snapshot_id)
        self._write_promoted([*self.promoted()[:-1], snapshot_id])
        return snapshot

    def set_promoted(self, history: Sequence[str]) -> None:
        """Replace the promotion history, oldest first, if it differs; the last one is current."""
        if self.promoted() != list(history):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_promoted(history)

    def current(self) -> Snapshot | None:
        """Load the newest intact promoted snapshot; return None if there is none.

        Damaged snapshots are skipped with a warning and reported in `problems`.
        """
        _, snapshot = next(self._sound(), (0, None))
        return snapshot

    def rollback(self) -> Snapshot:
        """Load the intact snapshot that was promoted before the current one, and make it current.

        Raises
        ------
        NotTrained
            There is no earlier intact snapshot.
        """
        current = None
        for place, snapshot in self._sound():
            current = current or snapshot.manifest.id
            if snapshot.manifest.id != current:
                self._write_promoted(self.promoted()[: place + 1])
                return snapshot
        raise NotTrained(
            f"no intact snapshot in {self.folder} was promoted before the current one; "
            "train again instead"
        )

    def promoted(self) -> list[str]:
        """Return the IDs of promoted snapshots, oldest first, without those a rollback removed."""
        try:
            lines = (self.folder / PROMOTED).read_text("ascii", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        return [line for line in lines if re.search(ID_PATTERN, line)]

    def manifests(self) -> list[Manifest]:
        """Return the manifests of all snapshots, sorted by offset and ID.

        Arrays are not verified. A damaged manifest is left out with a warning.
        """
        found = []
        for snapshot_id in self._stored_ids():
            try:
                found.append(self._read_manifest(snapshot_id))
            except Damaged as error:
                logger.warning("snapshot %s is not listed: %s", snapshot_id, error)
        return sorted(found, key=lambda manifest: (manifest.offset, manifest.id))

    def prune(self, keep: int, named: Collection[str] = ()) -> list[str]:
        """Remove all but the `keep` newest intact promoted snapshots; return the removed IDs.

        Those in `named` are kept, too. Snapshots that were never promoted and temporary folders of
        crashed writes are removed. If no promoted snapshot is intact, nothing is removed. Within
        the context of `writing`, the removal is postponed until the end of the context, and the
        result is empty.

        Raises
        ------
        InvalidInput
            `keep` is less than 1.
        """
        if keep < 1:
            raise InvalidInput(f"keep is {keep}; it must be at least 1", field="keep")
        with self._lock:
            if self._writers:
                self._deferred = keep, named
                return []
            return self._prune(keep, named)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Return a context in which `prune` removes nothing.

        It protects a snapshot that another process writes, until the snapshot is promoted. A
        removal that was postponed is done when the last of several such contexts ends.
        """
        with self._lock:
            self._writers += 1
        try:
            yield
        finally:
            with self._lock:
                self._writers -= 1
                if not self._writers and self._deferred is not None:
                    (keep, named), self._deferred = self._deferred, None
                    self._prune(keep, named)

    def _prune(self, keep: int, named: Collection[str]) -> list[str]:
        kept: set[str] = set()
        for _, snapshot in self._sound():
            kept.add(snapshot.manifest.id)
            if len(kept) == keep:
                break
        if not kept:
            return []
        # The history is written first, because it must never refer to a removed snapshot.
        self._write_promoted([entry for entry in self.promoted() if entry in kept])
        removed = [entry for entry in self._stored_ids() if entry not in kept.union(named)]
        with self._temporary() as temporary:
            for snapshot_id in removed:
                self._path(snapshot_id).rename(temporary / snapshot_id)
        for left in self.folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        return removed

    def _sound(self) -> Iterator[tuple[int, Snapshot]]:
        """Yield intact promoted snapshots, newest first, with their position in the history."""
        self.problems = []
        history = self.promoted()
        for place in reversed(range(len(history))):
            try:
                snapshot = self.load(history[place])
            except (Damaged, DataNotFound) as error:
                logger.warning("snapshot %s is skipped: %s", history[place], error)
                self.problems.append(str(error))
            else:
                yield place, snapshot

    def _is_sound(self, snapshot_id: str) -> bool:
        try:
            self.load(snapshot_id)
        except DataNotFound:
            return False
        except Damaged as error:
            logger.warning("snapshot %s is written again: %s", snapshot_id, error)
            return False
        return True

    def _read_manifest(self, snapshot_id: str) -> Manifest:
        path = self._path(snapshot_id) / MANIFEST
        try:
            with path.open("rb") as file:
                data = file.read(MAX_MANIFEST_BYTES + 1)
        except OSError as error:
            raise Damaged(
                f"manifest {path} cannot be read ({error}); use another snapshot or train again"
            ) from error
        if len(data) > MAX_MANIFEST_BYTES:
            raise Damaged(f"manifest {path} has more than {MAX_MANIFEST_BYTES:,} bytes")
        manifest = decode(data, path)
        if manifest.id != snapshot_id:
            raise Damaged(f"manifest {path} is that of snapshot {manifest.id}; move it back")
        return manifest

    def _stored_ids(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(
            path.name
            for path in self.folder.iterdir()
            if re.search(ID_PATTERN, path.name) and path.is_dir()
        )

    def _path(self, snapshot_id: str) -> Path:
        # Validated here, so that no ID can refer to a path outside the folder.
        if not re.search(ID_PATTERN, snapshot_id):
            raise InvalidInput(
                f"snapshot id {snapshot_id!r:.60} is not valid; ids have 16 hex digits",
                field="snapshot_id",
            )
        return self.folder / snapshot_id

    def _write_promoted(self, history: Sequence[str]) -> None:
        # Servers that share the folder, also in one process, must not write to the same file.
        fresh = self.folder / f".{PROMOTED}.{os.getpid()}.{id(self)}"
        fresh.write_text("".join(f"{entry}\n" for entry in history), "ascii")
        sync_path(fresh)
        fresh.replace(self.folder / PROMOTED)
        sync_path(self.folder)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Return a context with a temporary folder inside `folder`, which is removed on exit."""
        with tempfile.TemporaryDirectory(
            prefix=TEMPORARY, dir=self.folder, ignore_cleanup_errors=True
        ) as name:
            yield Path(name)
