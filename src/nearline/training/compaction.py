"""Compaction: write what the active model learned online to a new snapshot, without training.

Before the first training, the active model is the untrained one, and there is no snapshot.
"""

from collections.abc import Iterator
from dataclasses import replace

from nearline.common.spill import memory_limited
from nearline.deployment.changes import Entry
from nearline.deployment.online_learner import put_entries
from nearline.deployment.restore import restore_or_create
from nearline.deployment.texts import texts_for
from nearline.encoders import TextVectors
from nearline.log import Readable
from nearline.models.base import Model
from nearline.models.capabilities import LearnsOnline
from nearline.schema import Item, ItemDeleted, ItemPatched
from nearline.snapshots import Snapshot
from nearline.training.train import TrainingSpec, describe, read


def merge(
    log: Readable, spec: TrainingSpec, serving: Snapshot | None, texts: TextVectors | None = None
) -> Snapshot:
    """Return a snapshot of the active model with all records before the offset of `spec`.

    `serving` is the active snapshot; None if the model is untrained. Counts are recomputed from the
    log, so they contain no trace of erased users.
    """
    model = with_catalogue(log, spec, serving, texts)
    data = replace(read(log, spec), encoder=serving.manifest.encoder if serving else "")
    if isinstance(model, LearnsOnline):
        histories = data.counted_histories.without_superseded()
        with memory_limited(spec.config.memory):
            model.rebuild_counts(histories, data.n_items)
    return describe(model, data, spec, serving.manifest.metrics if serving else {})


def with_catalogue(
    log: Readable, spec: TrainingSpec, serving: Snapshot | None, texts: TextVectors | None
) -> Model:
    """Restore the active model with the catalogue as of the offset of `spec`."""
    model = restore_or_create(serving, spec.config)
    put_entries(model, _changes(log, spec, serving), texts_for(serving, texts))
    return model


def _changes(log: Readable, spec: TrainingSpec, serving: Snapshot | None) -> Iterator[Entry]:
    """Yield the changes of the catalogue since a snapshot, or all, up to the offset of `spec`."""
    index = {item_id: at for at, item_id in enumerate(spec.item_ids)}
    first = serving.manifest.offset if serving else 0
    new = log.read(first, spec.offset)
    # A patch applies to an entry, which may be older than the snapshot.
    start = 0 if any(isinstance(record, ItemPatched) for _, record in new) else first
    entries: dict[str, Item] = {}
    for offset, record in log.read(start, spec.offset):
        if isinstance(record, ItemPatched):
            if record.item_id not in entries:
                continue
            entries[record.item_id] = record.applied_to(entries[record.item_id])
        elif isinstance(record, Item):
            entries[record.item_id] = record
        elif isinstance(record, ItemDeleted):
            entries.pop(record.item_id, None)
        else:
            continue
        if offset >= first:
            yield index[record.item_id], entries.get(record.item_id)
