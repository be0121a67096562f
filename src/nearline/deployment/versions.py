"""List the snapshots of a store, promote one of them, or roll back."""

from pathlib import Path

from msgspec import Struct

from nearline.deployment import promotion
from nearline.deployment.active import ActiveDeployment
from nearline.deployment.location import snapshots_folder
from nearline.snapshots import Manifest, SnapshotStore


class Version(Struct, frozen=True, kw_only=True):
    """Description of a snapshot.

    Attributes
    ----------
    id : str
        Snapshot ID.
    model : str
        Name of the model.
    serving : bool
        Whether the snapshot is active.
    promoted : bool
        Whether the snapshot was promoted and not rolled back since.
    written : float or None
        Time at which the snapshot was written, in Unix seconds; None for a recommender in memory.
    data_until : float or None
        Time of the newest training event in Unix seconds.
    offset : int
        Log offset of the training: every record before it was used.
    items : int
        Number of items at the training.
    metrics : dict of str to float
        Metrics measured at the training, by name.
    """

    id: str
    model: str
    serving: bool
    promoted: bool
    written: float | None
    data_until: float | None
    offset: int
    items: int
    metrics: dict[str, float]


class Versions:
    """The snapshots of an open recommender."""

    def __init__(self, current: ActiveDeployment) -> None:
        self._current = current

    def list(self) -> list[Version]:
        """Return all snapshots, oldest first; in memory, only the active one."""
        parts = self._current.open()
        if parts.snapshots is not None:
            return versions_in(parts.snapshots, parts.model_id)
        if parts.snapshot is None:
            return []
        manifest = parts.snapshot.manifest
        return [_version(manifest, serving=True, promoted=True, written=None)]

    def promote(self, snapshot_id: str) -> Version:
        """Make a snapshot the active one, even if it was rejected after training.

        Raises
        ------
        UnknownSnapshot
            There is no snapshot with this ID.
        Damaged, InvalidInput
            It cannot be used; the active model is unchanged.
        NotTrained
            The recommender is in memory.
        """
        self._current.swap(
            lambda parts: promotion.promote_stored(parts, snapshot_id, self._current.config)
        )
        return self._serving()

    def rollback(self) -> Version:
        """Return to the snapshot that was promoted before the active one.

        Raises
        ------
        NotTrained
            There is none.
        """
        self._current.swap(lambda parts: promotion.roll_back(parts, self._current.config))
        return self._serving()

    def _serving(self) -> Version:
        return next(version for version in self.list() if version.serving)


def versions_in(snapshots: SnapshotStore, serving: str) -> list[Version]:
    """Return the snapshots of a folder, oldest first; `serving` is the ID of the active one."""
    promoted = set(snapshots.promoted())
    found = [
        _version(
            manifest,
            serving=manifest.id == serving,
            promoted=manifest.id in promoted,
            written=snapshots.written(manifest.id),
        )
        for manifest in snapshots.manifests()
    ]
    return sorted(found, key=lambda version: version.written or 0.0)


def versions_of_folder(folder: Path) -> list[Version]:
    """Return the snapshots of a store that may be open elsewhere; the last promoted is active."""
    snapshots = SnapshotStore(snapshots_folder(folder))
    return versions_in(snapshots, (snapshots.promoted() or [""])[-1])


def _version(
    manifest: Manifest, *, serving: bool, promoted: bool, written: float | None
) -> Version:
    return Version(
        id=manifest.id,
        model=manifest.model,
        serving=serving,
        promoted=promoted,
        written=written,
        data_until=manifest.data_until,
        offset=manifest.offset,
        items=manifest.n_items,
        metrics=manifest.metrics,
    )
