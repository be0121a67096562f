"""Promotion of snapshots: the active model is replaced, here and on servers that share the log.

In a shared log, a promotion is a record: a definition with the history of promotions. Each server
that reads it changes to the same snapshot, which it finds in the shared folder.
"""

from collections.abc import Sequence
from dataclasses import replace

from nearline.config import Config
from nearline.deployment.store import Deployment, numbers, serving
from nearline.errors import InvalidInput, NotTrained, UnknownSnapshot
from nearline.log import Lease, SharedLog
from nearline.schema import Defined
from nearline.schema.definitions import ACTIVE, MODEL, PROMOTED
from nearline.snapshots import Snapshot, SnapshotStore


def promote(
    parts: Deployment, snapshot: Snapshot, config: Config, lease: Lease | None = None
) -> Deployment:
    """Write a snapshot if the recommender has a folder, and return a deployment that uses it."""
    if parts.snapshots is None:
        return serving(replace(parts, snapshot=snapshot, memory=next(numbers)), config)
    parts.snapshots.write(snapshot.manifest, snapshot.arrays, snapshot.item_ids)
    promoted = promote_stored(parts, snapshot.manifest.id, config, lease)
    parts.snapshots.prune(config.keep_snapshots, parts.state.definitions.models)
    return promoted


def promote_stored(
    parts: Deployment, snapshot_id: str, config: Config, lease: Lease | None = None
) -> Deployment:
    """Promote a snapshot in the folder, and return a deployment that uses it.

    Raises
    ------
    UnknownSnapshot, Damaged
        It does not exist or is damaged; the active model is unchanged.
    InvalidInput
        Its items have other indices than in the state.
    StaleLease
        Another server has taken over `lease`; the active model is unchanged.
    """
    snapshots = _stored(parts)
    if not snapshots.has(snapshot_id):
        raise UnknownSnapshot(f"there is no snapshot {snapshot_id}; list the snapshots")
    _check_numbers(parts, snapshots.load(snapshot_id))
    announce(parts, [*_without_last(snapshots, snapshot_id), snapshot_id], config, lease)
    return serving(replace(parts, snapshot=snapshots.promote(snapshot_id)), config)


def with_snapshot(parts: Deployment, snapshot_id: str, config: Config) -> Deployment:
    """Return a deployment with another snapshot of the folder, which is not promoted."""
    snapshot = _stored(parts).load(snapshot_id)
    _check_numbers(parts, snapshot)
    return serving(replace(parts, snapshot=snapshot), config)


def replace_promoted(
    parts: Deployment, old_id: str, snapshot_id: str, config: Config, lease: Lease | None = None
) -> Deployment:
    """Replace the active snapshot, in the promotion history too, by the one merged from it.

    Without an active snapshot, the merged one is the first. Nothing changes if another snapshot
    became active meanwhile.
    """
    if parts.model_id != old_id:
        return parts
    snapshots = _stored(parts)
    announce(parts, [*snapshots.promoted()[:-1], snapshot_id], config, lease)
    return serving(replace(parts, snapshot=snapshots.replace_promoted(snapshot_id)), config)


def roll_back(parts: Deployment, config: Config) -> Deployment:
    """Return to the previously promoted snapshot, and return a deployment that uses it.

    Raises
    ------
    NotTrained
        There is none.
    InvalidInput
        Its items have other indices than in the state.
    """
    snapshots = _stored(parts)
    snapshot = snapshots.rollback()
    _check_numbers(parts, snapshot)
    announce(parts, snapshots.promoted(), config)
    return serving(replace(parts, snapshot=snapshot), config)


def announce(
    parts: Deployment, promoted: Sequence[str], config: Config, lease: Lease | None = None
) -> None:
    """Record a promotion in a log that several servers follow: they change to the same model."""
    if isinstance(parts.log, SharedLog):
        body = {PROMOTED: list(promoted)[-config.keep_snapshots :]}
        record = Defined(kind=MODEL, name=ACTIVE, timestamp=parts.log.now(), body=body)
        parts.log.append_under(lease, [record]).result()


def follow_promotion(parts: Deployment, promoted: Sequence[str], config: Config) -> Deployment:
    """Use the snapshot that another server has promoted."""
    snapshots = _stored(parts)
    snapshots.set_promoted(promoted)
    snapshot = snapshots.load(promoted[-1])
    _check_numbers(parts, snapshot)
    return serving(replace(parts, snapshot=snapshot), config)


def _without_last(snapshots: SnapshotStore, snapshot_id: str) -> list[str]:
    history = snapshots.promoted()
    return history[:-1] if history[-1:] == [snapshot_id] else history


def _stored(parts: Deployment) -> SnapshotStore:
    if parts.snapshots is None:
        raise NotTrained(
            "a recommender in memory keeps only its active model; give it a folder to keep more"
        )
    return parts.snapshots


def _check_numbers(parts: Deployment, snapshot: Snapshot) -> None:
    n_items = snapshot.manifest.n_items
    if parts.state.items.table()[:n_items] != snapshot.item_ids:
        raise InvalidInput(
            f"snapshot {snapshot.manifest.id} has its items in another order than the state since "
            "the log was last replayed; train again",
            field="snapshot_id",
        )
