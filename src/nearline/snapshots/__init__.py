"""What was learned: immutable snapshots, checked when loaded, promoted and rolled back."""

from nearline.snapshots.arrays import ArraySpec
from nearline.snapshots.manifest import Manifest, build
from nearline.snapshots.store import Snapshot, SnapshotStore

__all__ = ["ArraySpec", "Manifest", "Snapshot", "SnapshotStore", "build"]
