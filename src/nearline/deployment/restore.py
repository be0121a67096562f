"""Rebuild the model of a snapshot, or create the model before the first one."""

from nearline.config import Config
from nearline.errors import Damaged, InvalidInput
from nearline.models.base import Model
from nearline.models.registry import convert_settings, make_model, model_class
from nearline.snapshots import Snapshot

# Model before the first training: it matches items by their texts and learns from events.
UNTRAINED = "item_graph"


def restore_or_create(snapshot: Snapshot | None, config: Config) -> Model:
    """Rebuild the model of a snapshot; without one, create the model before the first training."""
    return create_untrained(config) if snapshot is None else restore(snapshot)


def create_untrained(config: Config) -> Model:
    """Create the model before the first training."""
    settings = config.settings if config.model == UNTRAINED else {}
    return make_model(UNTRAINED, settings)


def restore(snapshot: Snapshot) -> Model:
    """Rebuild the model of a snapshot.

    Raises
    ------
    Damaged
        Another version wrote it: the model or a setting does not exist, or an array is missing.
    """
    try:
        kind = model_class(snapshot.manifest.model)
        settings = convert_settings(kind, snapshot.manifest.config)
    except InvalidInput as error:
        raise Damaged(
            f"snapshot {snapshot.manifest.id} was written by another version: {error}"
        ) from error
    model, n_items = kind.restore(settings, snapshot.arrays), snapshot.manifest.n_items
    if model.n_items > n_items:
        raise Damaged(
            f"the model of snapshot {snapshot.manifest.id} has {model.n_items} items, and the "
            f"snapshot {n_items}; use another snapshot or train again"
        )
    return model
