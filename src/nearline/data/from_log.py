"""Conversion of the log to a dataset, for training."""

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.build import Weight, assemble, same_weight, with_attributes
from nearline.data.dataset import Dataset
from nearline.log.base import Readable
from nearline.schema import (
    AttributeValue,
    Consent,
    Event,
    Item,
    ItemDeleted,
    ItemPatched,
    UserPatched,
    UserPut,
)


def dataset_from_log(
    log: Readable, stop: int, weight: Weight = same_weight, *, item_ids: Sequence[str] = ()
) -> Dataset:
    """Convert the first `stop` records of a log to arrays; the records are streamed.

    The items of `item_ids` have the first indices; other items follow in order of occurrence.
    Without `item_ids`, the result equals `make_dataset` of the same events and of the catalogue at
    `stop`. A deleted item keeps its interactions but has no text. Erased events are not included,
    nor is anything of a user who objects to profiling at `stop`.
    """
    user_index: dict[str, int] = {}
    item_index = {item_id: index for index, item_id in enumerate(item_ids)}
    catalogue: dict[str, Item] = {}
    users, items = array("i"), array("i")
    times, values, weights = array("d"), array("d"), array("d")
    weight_of: dict[str, float] = {}
    nothing = float("nan")
    attributes: dict[str, Mapping[str, AttributeValue]] = {}
    objecting: set[str] = set()
    for _, record in log.read(0, stop):
        if isinstance(record, Event):
            users.append(user_index.setdefault(record.user_id, len(user_index)))
            items.append(item_index.setdefault(record.item_id, len(item_index)))
            times.append(record.timestamp)
            values.append(nothing if record.value is None else record.value)
            kind = record.event
            if kind not in weight_of:
                weight_of[kind] = weight(kind)
            weights.append(weight_of[kind])
        elif isinstance(record, Item):
            catalogue[record.item_id] = record
        elif isinstance(record, ItemPatched):
            if record.item_id in catalogue:
                catalogue[record.item_id] = record.applied_to(catalogue[record.item_id])
        elif isinstance(record, ItemDeleted):
            catalogue.pop(record.item_id, None)
        elif isinstance(record, UserPut | UserPatched):
            attributes[record.user_id] = record.applied_to(attributes.get(record.user_id, {}))
        elif isinstance(record, Consent):
            (objecting.discard if record.profiling else objecting.add)(record.user_id)
    for user_id in objecting:
        attributes.pop(user_id, None)
    columns = _Columns(
        list(user_index),
        list(item_index),
        np.array(users, dtype=np.int32),
        np.array(items, dtype=np.int32),
    )
    kept = np.ones(len(columns.users), dtype=np.bool_)
    if objecting & user_index.keys():
        columns, kept = _without(columns, objecting, len(item_ids))
    data = assemble(
        columns.user_ids,
        columns.item_ids,
        catalogue,
        users=columns.users,
        items=columns.items,
        times=np.array(times)[kept],
        weights=np.array(weights)[kept],
        values=np.array(values)[kept],
    )
    return with_attributes(data, attributes) if attributes else data


class _Columns(NamedTuple):
    """IDs by index, and the indices of the user and the item of each event: int32 [n]."""

    user_ids: list[str]
    item_ids: list[str]
    users: NDArray[np.int32]
    items: NDArray[np.int32]


def _without(
    columns: _Columns, objecting: Collection[str], first: int
) -> tuple[_Columns, NDArray[np.bool_]]:
    """Remove the events of some users, and number the others as if these had never been there.

    The `first` items keep their indices. Also returns which events remain.
    """
    out = np.array([user_id in objecting for user_id in columns.user_ids], dtype=np.bool_)
    kept = ~out[columns.users]
    items = columns.items[kept]
    found, places = np.unique(items, return_index=True)
    later = found >= first
    order = [*range(first), *found[later][np.argsort(places[later])].tolist()]
    new_item = np.full(len(columns.item_ids), -1, dtype=np.int32)
    new_item[order] = np.arange(len(order))
    new_user = (np.cumsum(~out) - 1).astype(np.int32)
    renumbered = _Columns(
        [user_id for user_id, gone in zip(columns.user_ids, out, strict=True) if not gone],
        [columns.item_ids[at] for at in order],
        new_user[columns.users[kept]],
        new_item[items],
    )
    return renumbered, kept
