"""The files of a store, and how a store is opened, saved and closed.

shop/log.db            the log, the only part that cannot be rebuilt
shop/log.db.runs/      the index of the log; made again if it is missing
shop/log.url           URL of the log, if it is in PostgreSQL
shop/log.id            ID of that log
shop/state.checkpoint  the state at some offset; replayed from the log if it is missing
shop/snapshots/        trained models, and which of them is active
shop/vectors.db        vectors of encoded texts; encoded again if it is missing
shop/imports.json      summaries of the last imports
shop/secret.key        secret that signs cursors; made again if it is missing
shop/keys.db           keys of a sealed store; without it, nothing can be read
shop/nearline.toml     settings, if a user wrote this file
shop/search.journal    trials of hyper-parameter searches
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from secrets import token_bytes

from nearline.common.budget import divided
from nearline.common.signing import SECRET_BYTES, Signer
from nearline.config import Config
from nearline.deployment.catch_up import catch_up
from nearline.deployment.location import (
    LOG,
    SNAPSHOTS,
    check_same_log,
    log_url,
    snapshots_folder,
)
from nearline.deployment.online_learner import OnlineLearner
from nearline.deployment.restore import create_untrained, restore_or_create
from nearline.deployment.sealing import unlock_store
from nearline.deployment.secret import secret_of, write_secret
from nearline.deployment.texts import texts_for
from nearline.encoders import TextVectors
from nearline.errors import (
    Damaged,
    DataNotFound,
    InvalidInput,
    LogUnavailable,
)
from nearline.ingest import follow, forget_examples
from nearline.log import (
    MEMORY,
    FollowedLog,
    Log,
    SharedLog,
    UnwritableLog,
    followed_through,
    is_postgres,
    open_log,
    open_or_read,
)
from nearline.models.base import Model
from nearline.models.capabilities import LearnsOnline
from nearline.schema.rules import REPEATS_FOUND
from nearline.snapshots import COUNTING, Snapshot, SnapshotStore
from nearline.state import (
    AheadOfLog,
    State,
    load_checkpoint,
    remove_unfinished,
    save_checkpoint,
)

logger = logging.getLogger(__name__)

CHECKPOINT = "state.checkpoint"
SEARCH = "search.journal"
# Up to this many records, a restart teaches the model while it replays the log into the state.
SHORT_REPLAY = 100_000
# Numbers of models in memory.
numbers = count(1)


@dataclass(frozen=True)
class Deployment:
    """The open parts of a recommender.

    Attributes
    ----------
    log, state : Log, State
    model : Model
        Active model: the arrays of the snapshot, and what was learned online since.
    snapshot : Snapshot or None
        Snapshot from which `model` was restored; None before the first training.
    snapshots : SnapshotStore or None
        None if the recommender is in memory.
    texts : TextVectors or None
        Language vectors of the items, if the configuration has an encoder.
    live : OnlineLearner or None
        Updates the model with each commit.
    memory : int or None
        Number of the model in memory, unique in this process; None for a store in a folder.
    signer : Signer
        Signs cursors with the secret of the store.
    """

    log: Log
    state: State
    model: Model
    snapshot: Snapshot | None
    snapshots: SnapshotStore | None
    texts: TextVectors | None = None
    live: OnlineLearner | None = None
    memory: int | None = None
    signer: Signer = field(default_factory=lambda: Signer(token_bytes(SECRET_BYTES)))

    @property
    def model_id(self) -> str:
        """ID of the active snapshot; ``untrained`` without one."""
        return self.snapshot.manifest.id if self.snapshot else "untrained"

    @cached_property
    def repeats_found(self) -> bool:
        """Whether training found that users repeat items: the meaning of `repeats` "auto"."""
        return self.snapshot is not None and bool(self.snapshot.manifest.metrics.get(REPEATS_FOUND))

    @cached_property
    def stamp_model(self) -> str:
        """ID of the model in a `Stamp`.

        In memory, `fit` starts another log, whose offsets and models may equal those of the one
        before; the number keeps them apart.
        """
        return self.model_id if self.memory is None else f"{self.model_id}#{self.memory}"


def open_memory(
    config: Config, texts: TextVectors | None, on_change: Callable[[], None]
) -> Deployment:
    """Create an empty log, state and model in memory.

    `on_change` is called after each commit and each erasure, in the log's thread.
    """
    queue_bytes = divided(config.memory).queue
    log, state = open_log(MEMORY, queue_bytes=queue_bytes), State(config.state)
    follow(log, state, on_change=on_change)
    parts = Deployment(
        log, state, create_untrained(config), None, None, texts, memory=next(numbers)
    )
    return serving(parts, config)


def open_folder(
    folder: Path, config: Config, texts: TextVectors | None, on_change: Callable[[], None]
) -> Deployment:
    """Open a store, or create one: valid snapshot, valid checkpoint, then the rest of the log.

    `on_change` is called after each commit and each erasure, in the log's thread.

    Raises
    ------
    StoreInUse
        The store is open already, in this or another process.
    Damaged
        The log cannot be read, or lacks records that a snapshot or the checkpoint reflects.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; a store is a folder: name another path")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"the store {folder} cannot be made ({error.strerror}); name a folder that you can "
            "write to",
            field="store",
        ) from error
    unlock_store(folder, config.seal)
    snapshots = SnapshotStore(snapshots_folder(folder))
    # While the checksums of the snapshot are verified, the log reads the keys of its last records.
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(snapshots.current)
        log = _open_log(folder, divided(config.memory).queue)
    writable = not isinstance(log, UnwritableLog)
    if not writable and not isinstance(log, FollowedLog):
        logger.warning("%s cannot be written and is open for reading only", folder)
    try:
        snapshot = loading.result()
        _check_complete(folder, log, snapshot.manifest.offset if snapshot else 0)
        state = _open_state(folder, config, log, snapshot.item_ids if snapshot else [])
        checkpoint = folder / CHECKPOINT
        if writable:
            remove_unfinished(checkpoint)
        signer = Signer((isinstance(log, SharedLog) and log.secret) or secret_of(folder))
        parts = Deployment(
            log, state, create_untrained(config), snapshot, snapshots, texts, signer=signer
        )

        def on_erased() -> None:
            # These files may contain events of the erased user.
            if not writable:
                return
            forget_examples(folder)
            checkpoint.unlink(missing_ok=True)
            if log.seal is not None:
                log.seal.forget_files()

        if _learns_with_the_state(parts):
            parts = _serving_or_untrained(parts, config)
            with parts.live.learn_in_background() if parts.live else nullcontext():
                follow(log, state, on_change=on_change, on_erased=on_erased)
            return parts
        follow(log, state, on_change=on_change, on_erased=on_erased)
        return _serving_or_untrained(parts, config)
    except BaseException:
        log.close()
        raise


def _open_log(folder: Path, queue_bytes: int) -> Log:
    url, channel = log_url(folder), followed_through()
    if not is_postgres(url):
        if channel is not None:
            return FollowedLog(folder / LOG, channel)
        return open_or_read(folder / LOG, queue_bytes)
    log = open_log(url, queue_bytes=queue_bytes)
    try:
        if isinstance(log, SharedLog):
            check_same_log(folder, log.log_id)
    except BaseException:
        log.close()
        raise
    return log


def _learns_with_the_state(parts: Deployment) -> bool:
    """Return whether the rest of the log can be replayed into state and model in one pass.

    If the rest is long, the model catches up faster by itself. The model must not be behind the
    state's checkpoint, and must not learn a record twice.
    """
    log, state, snapshot = parts.log, parts.state, parts.snapshot
    if snapshot is None or log.end - state.offset > SHORT_REPLAY:
        return False
    return snapshot.manifest.offset <= state.offset


def is_store(folder: Path) -> bool:
    """Whether `folder` contains a store: a log that can be opened."""
    try:
        open_log(log_url(folder), read_only=True).close()
    except DataNotFound:
        return False
    return True


def check_is_store(folder: Path) -> None:
    """Raise `InvalidInput` unless `folder` contains a store."""
    if not is_store(folder):
        raise InvalidInput(f"{folder} contains no store; name the folder that save() wrote")


def save(parts: Deployment, folder: Path) -> None:
    """Write a copy of log, checkpoint and snapshot to a new folder, which `open_folder` opens."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} exists and is not an empty folder; save to a new one")
    folder.mkdir(parents=True, exist_ok=True)
    parts.log.copy_to(folder / LOG)
    write_secret(folder, parts.signer.secret)
    if parts.snapshot is not None:
        snapshots = SnapshotStore(folder / SNAPSHOTS)
        snapshot = parts.snapshot
        snapshots.write(snapshot.manifest, snapshot.arrays, snapshot.item_ids)
        snapshots.promote(snapshot.manifest.id)


def close(parts: Deployment, folder: Path | None) -> None:
    """Write what is queued, write the checkpoint if there is a folder, release the log."""
    try:
        failed = isinstance(parts.log, SharedLog) and parts.log.failure is not None
        if folder is not None and not failed and not isinstance(parts.log, UnwritableLog):
            with suppress(LogUnavailable):  # what the state has is worth keeping
                parts.log.append([]).result()  # the state now reflects everything queued before
            save_checkpoint(
                parts.state,
                folder / CHECKPOINT,
                erasures=parts.log.erasures,
                seal=parts.log.seal,
            )
    finally:
        parts.log.close()
        if parts.live is not None:
            parts.live.settle()


def _serving_or_untrained(parts: Deployment, config: Config) -> Deployment:
    try:
        return serving(parts, config)
    except Damaged as error:
        # For example an intact snapshot of an earlier version. Answer without it.
        logger.warning("the model cannot be used, train again: %s", error)
        return serving(replace(parts, snapshot=None), config)


def serving(parts: Deployment, config: Config) -> Deployment:
    """Return a deployment whose model is restored from the snapshot and follows the log.

    The model learns in the order of the log, so after a restart it is the same as one that learned
    each change when it was made.
    """
    log, state, snapshot = parts.log, parts.state, parts.snapshot
    erasures = log.erasures
    if snapshot:
        # If the counts follow older rules, let them be recomputed as after an erasure.
        manifest = snapshot.manifest
        rules = COUNTING, config.state.limits.protective
        same_rules = (manifest.counting, manifest.limits) == rules
        erasures = manifest.erasures if same_rules else -1
    model = restore_or_create(snapshot, config)
    if config.reserve and isinstance(model, LearnsOnline):
        model.preallocate(config.merge_events)
    live = catch_up(
        model,
        log,
        state,
        offset=snapshot.manifest.offset if snapshot else 0,
        erasures=erasures,
        online=config.online,
        texts=texts_for(snapshot, parts.texts),
    )
    return replace(parts, model=live.model, live=live)


def retire(parts: Deployment) -> None:
    """Stop updating the model of a deployment that is no longer active."""
    if parts.live is not None:
        parts.live.leave()


def _open_state(folder: Path, config: Config, log: Log, item_ids: list[str]) -> State:
    """Load the checkpoint if it is intact and has its items in the order of the snapshot."""
    try:
        state = load_checkpoint(
            folder / CHECKPOINT, config.state, erasures=log.erasures, end=log.end, seal=log.seal
        )
    except AheadOfLog as error:
        _check_complete(folder, log, error.offset)
        raise
    except Damaged as error:
        logger.warning("the checkpoint is ignored and the whole log is replayed: %s", error)
        # A crash may have interrupted an erasure: these files may contain events of the user.
        forget_examples(folder)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        state = None
    if state is not None and state.items.table()[: len(item_ids)] == item_ids:
        return state
    return State(config.state, item_ids=item_ids)


def _check_complete(folder: Path, log: Log, reflected: int) -> None:
    """Raise Damaged if the log lacks some of the first `reflected` records."""
    if log.end < reflected:
        raise Damaged(
            f"the log of the store {folder} ends at offset {log.end}, but another file was made "
            f"from {reflected} records: {LOG} was replaced or cut off; restore a backup. To "
            f"continue with the records that are left, remove {SNAPSHOTS} and {CHECKPOINT}"
        )
