"""The snapshots of a store: which there are, which serves, and how that is changed by hand."""

from pathlib import Path

from msgspec import Struct

from nearline.deployment import store
from nearline.deployment.active import ActiveDeployment
from nearline.snapshots import Manifest, SnapshotStore


class Version(Struct, frozen=True, kw_only=True):
    """One snapshot.

    Attributes
    ----------
    id, model : str
        Its id, and the name of its model.
    serving, promoted : bool
        Whether it answers; whether it was promoted and not rolled back.
    written : float or None
        Unix seconds; None in memory.
    data_until : float or None
        Unix seconds of the newest event that it was trained on.
    offset, items : int
        Log records and items that it was trained on.
    metrics : dict
        What was measured when it was trained.
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
        """All snapshots, oldest first; in memory the one that serves."""
        parts = self._current.open()
        if parts.snapshots is not None:
            return versions_in(parts.snapshots, parts.model_id)
        if parts.snapshot is None:
            return []
        manifest = parts.snapshot.manifest
        return [_version(manifest, serving=True, promoted=True, written=None)]

    def promote(self, snapshot_id: str) -> Version:
        """Let a snapshot serve, whatever it was found to be worth.

        Raises
        ------
        UnknownSnapshot
            There is none of this id.
        Damaged, InvalidInput
            It cannot serve; what serves goes on serving.
        NotTrained
            The recommender lives in memory.
        """
        self._current.swap(
            lambda parts: store.promote_stored(parts, snapshot_id, self._current.config)
        )
        return self._serving()

    def rollback(self) -> Version:
        """Return to the snapshot that was promoted before the one that serves.

        Raises
        ------
        NotTrained
            There is none.
        """
        self._current.swap(lambda parts: store.roll_back(parts, self._current.config))
        return self._serving()

    def _serving(self) -> Version:
        return next(version for version in self.list() if version.serving)


def versions_in(snapshots: SnapshotStore, serving: str) -> list[Version]:
    """Snapshots in a folder, oldest first; `serving` is the id of the one that answers."""
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
    """Snapshots of a store that may be open elsewhere; the last that was promoted serves."""
    snapshots = SnapshotStore(folder / store.SNAPSHOTS)
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
