"""Snapshots of trained models: immutable, verified on load, promoted and rolled back."""

from nearline.snapshots.arrays import ArraySpec
from nearline.snapshots.manifest import COUNTING, Manifest, build
from nearline.snapshots.store import Snapshot, SnapshotStore

__all__ = ["COUNTING", "ArraySpec", "Manifest", "Snapshot", "SnapshotStore", "build"]
