"""Where the parts of a store lie in its folder, and how they are opened and saved.

shop/log.db            the log: the only part that cannot be made anew
shop/state.checkpoint  the state at some offset; replayed from the log where it is missing
shop/snapshots/        trained models, and which of them serves
shop/vectors.db        vectors of texts that were encoded: made anew where it is missing
shop/search.journal    trials of searches over hyper-parameters
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from nearline.config import Config
from nearline.deployment.catch_up import catch_up
from nearline.deployment.online_learner import OnlineLearner
from nearline.deployment.restore import restore
from nearline.deployment.texts import texts_for
from nearline.encoders import TextVectors
from nearline.errors import Damaged, InvalidInput, NotTrained, UnknownSnapshot
from nearline.ingest import follow
from nearline.log import MEMORY, Log, open_log, url_of
from nearline.models.base import Model
from nearline.models.capabilities import LearnsOnline
from nearline.models.registry import make_model
from nearline.snapshots import Snapshot, SnapshotStore
from nearline.state import State, load_checkpoint, save_checkpoint

logger = logging.getLogger(__name__)

LOG = "log.db"
CHECKPOINT = "state.checkpoint"
SNAPSHOTS = "snapshots"
SEARCH = "search.journal"
# Whatever model is trained later: words are all there is to go by before.
UNTRAINED = "item_graph"
SHORT_REPLAY = 100_000


@dataclass(frozen=True)
class Deployment:
    """The open parts of a recommender.

    Attributes
    ----------
    log, state : Log, State
    model : Model
        What serves: the snapshot's arrays and, beside them, what live items and events added.
    snapshot : Snapshot or None
        What `model` was restored from; None before the first training.
    snapshots : SnapshotStore or None
        None where the recommender lives in memory.
    texts : TextVectors or None
        Language vectors of the items, where the configuration names an encoder.
    live : OnlineLearner or None
        Teaches the model.
    serial : int
        Tells these parts from all others of this process.
    """

    log: Log
    state: State
    model: Model
    snapshot: Snapshot | None
    snapshots: SnapshotStore | None
    texts: TextVectors | None = None
    live: OnlineLearner | None = None
    serial: int = field(default_factory=count(1).__next__, init=False)

    @property
    def model_id(self) -> str:
        """Id of the snapshot that answers; ``untrained`` where there is none."""
        return self.snapshot.manifest.id if self.snapshot else "untrained"


def open_memory(config: Config, texts: TextVectors | None) -> Deployment:
    """Make an empty log, state and model, gone with the process."""
    log, state = open_log(MEMORY), State(config.state)
    follow(log, state)
    return serving(Deployment(log, state, _untrained(config), None, None, texts), config)


def open_folder(folder: Path, config: Config, texts: TextVectors | None) -> Deployment:
    """Open a store, or make one: newest good snapshot, newest good checkpoint, then the log's rest.

    Raises
    ------
    StoreInUse
        Another process, or this one, has it open.
    Damaged
        The log cannot be read.
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
    snapshots = SnapshotStore(folder / SNAPSHOTS)
    # Every byte of a snapshot is checked: meanwhile the log reads the keys of its last records.
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(snapshots.current)
        log = open_log(url_of(folder / LOG))
    try:
        snapshot = loading.result()
        state = _open_state(folder, config, log, snapshot.item_ids if snapshot else [])
        checkpoint = folder / CHECKPOINT
        parts = Deployment(log, state, _untrained(config), snapshot, snapshots, texts)

        def replay() -> None:
            # An erased user's bytes must not live on in a file.
            follow(log, state, on_erased=lambda: checkpoint.unlink(missing_ok=True))

        if _learns_with_the_state(parts):
            parts = _serving_or_untrained(parts, config)
            with parts.live.learn_in_background() if parts.live else nullcontext():
                replay()
            return parts
        replay()
        return _serving_or_untrained(parts, config)
    except BaseException:
        log.close()
        raise


def _learns_with_the_state(parts: Deployment) -> bool:
    """Whether state and model can be taught the rest of the log in one pass.

    Where the rest is long, the model is quicker by itself; what it has seen it must not see again.
    """
    log, state, snapshot = parts.log, parts.state, parts.snapshot
    if snapshot is None or log.end - state.offset > SHORT_REPLAY:
        return False
    return snapshot.manifest.offset <= state.offset


def promote(parts: Deployment, snapshot: Snapshot, config: Config) -> Deployment:
    """Store a snapshot where there is a folder for it, and return the parts that serve it."""
    if parts.snapshots is None:
        return serving(replace(parts, snapshot=snapshot), config)
    parts.snapshots.write(snapshot.manifest, snapshot.arrays, snapshot.item_ids)
    promoted = promote_stored(parts, snapshot.manifest.id, config)
    parts.snapshots.prune(config.keep_snapshots)
    return promoted


def promote_stored(parts: Deployment, snapshot_id: str, config: Config) -> Deployment:
    """Promote a snapshot that stands in the folder, and return the parts that serve it.

    Raises
    ------
    UnknownSnapshot, Damaged
        It is not there, or not what its id says; what serves goes on serving.
    InvalidInput
        Its items have other numbers than those of the state.
    """
    snapshots = _stored(parts)
    if not snapshots.has(snapshot_id):
        raise UnknownSnapshot(f"there is no snapshot {snapshot_id}; list those there are")
    _check_numbers(parts, snapshots.load(snapshot_id))
    return serving(replace(parts, snapshot=snapshots.promote(snapshot_id)), config)


def replace_promoted(
    parts: Deployment, old_id: str, snapshot_id: str, config: Config
) -> Deployment:
    """Let a snapshot that was merged from the one that serves take its place, in the history too.

    Nothing changes where another one serves by now.
    """
    if parts.model_id != old_id:
        return parts
    return serving(replace(parts, snapshot=_stored(parts).replace_promoted(snapshot_id)), config)


def roll_back(parts: Deployment, config: Config) -> Deployment:
    """Return to the snapshot that was promoted before, and return the parts that serve it.

    Raises
    ------
    NotTrained
        There is none.
    InvalidInput
        Its items have other numbers than those of the state.
    """
    snapshot = _stored(parts).rollback()
    _check_numbers(parts, snapshot)
    return serving(replace(parts, snapshot=snapshot), config)


def check_is_store(folder: Path) -> None:
    """Raise `InvalidInput` unless `folder` contains a store."""
    if not (folder / LOG).is_file():
        raise InvalidInput(f"{folder} holds no store; name the folder that save() wrote")


def save(parts: Deployment, folder: Path) -> None:
    """Write a copy of everything to a new folder, which `open_folder` opens."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} exists and is not an empty folder; save to a new one")
    folder.mkdir(parents=True, exist_ok=True)
    parts.log.copy_to(folder / LOG)
    if parts.snapshot is not None:
        snapshots = SnapshotStore(folder / SNAPSHOTS)
        snapshot = parts.snapshot
        snapshots.write(snapshot.manifest, snapshot.arrays, snapshot.item_ids)
        snapshots.promote(snapshot.manifest.id)


def close(parts: Deployment, folder: Path | None) -> None:
    """Finish what is queued, write the checkpoint if there is a folder, release the log."""
    try:
        if folder is not None:
            parts.log.append([]).result()  # whatever was queued before is in the state now
            save_checkpoint(parts.state, folder / CHECKPOINT, erasures=parts.log.erasures)
    finally:
        parts.log.close()
        if parts.live is not None:
            parts.live.settle()


def _untrained(config: Config) -> Model:
    """Make what answers before the first training: an item graph, which learns words at once."""
    settings = config.settings if config.model == UNTRAINED else {}
    return make_model(UNTRAINED, settings)


def _stored(parts: Deployment) -> SnapshotStore:
    if parts.snapshots is None:
        raise NotTrained(
            "a recommender in memory keeps the one model that serves; give it a folder to keep more"
        )
    return parts.snapshots


def _check_numbers(parts: Deployment, snapshot: Snapshot) -> None:
    n_items = snapshot.manifest.n_items
    if parts.state.items.table()[:n_items] != snapshot.item_ids:
        raise InvalidInput(
            f"snapshot {snapshot.manifest.id} numbers its items in another order than the state "
            "does since it was last replayed; train again",
            field="snapshot_id",
        )


def _serving_or_untrained(parts: Deployment, config: Config) -> Deployment:
    try:
        return serving(parts, config)
    except Damaged as error:
        # A sound snapshot of an earlier version, say: answers are better than none.
        logger.warning("the model cannot be used, train again: %s", error)
        return serving(replace(parts, snapshot=None), config)


def serving(parts: Deployment, config: Config) -> Deployment:
    """Return parts with the model of the snapshot, taught what came since, and what will come.

    In the order of the log, so that a model caught up after a restart is the same as one that heard
    of each change as it came.
    """
    log, state, snapshot = parts.log, parts.state, parts.snapshot
    model = restore(snapshot) if snapshot else _untrained(config)
    if config.reserve and isinstance(model, LearnsOnline):
        model.preallocate(config.merge_events)
    live = catch_up(
        model,
        log,
        state,
        offset=snapshot.manifest.offset if snapshot else 0,
        erasures=snapshot.manifest.erasures if snapshot else log.erasures,
        online=config.online,
        texts=texts_for(snapshot, parts.texts),
    )
    return replace(parts, model=live.model, live=live)


def retire(parts: Deployment) -> None:
    """Teach the model of `parts` no more: it does not serve now."""
    if parts.live is not None:
        parts.live.leave()


def _open_state(folder: Path, config: Config, log: Log, item_ids: list[str]) -> State:
    """Load the checkpoint if it is whole and numbers its items as the snapshot does."""
    try:
        state = load_checkpoint(
            folder / CHECKPOINT, config.state, erasures=log.erasures, end=log.end
        )
    except Damaged as error:
        logger.warning("the checkpoint is not used, the log is replayed: %s", error)
        state = None
    if state is not None and state.items.table()[: len(item_ids)] == item_ids:
        return state
    return State(config.state, item_ids=item_ids)
