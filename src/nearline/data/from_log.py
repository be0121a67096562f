"""Conversion of the log to a dataset, for training."""

from array import array
from collections.abc import Mapping, Sequence

import numpy as np

from nearline.data.build import Weight, assemble, same_weight, with_attributes
from nearline.data.dataset import Dataset
from nearline.log.base import Readable
from nearline.schema import (
    AttributeValue,
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
    `stop`. A deleted item keeps its interactions but has no text. Erased events are not included.
    """
    user_index: dict[str, int] = {}
    item_index = {item_id: index for index, item_id in enumerate(item_ids)}
    catalogue: dict[str, Item] = {}
    users, items = array("i"), array("i")
    times, values, weights = array("d"), array("d"), array("d")
    weight_of: dict[str, float] = {}
    nothing = float("nan")
    attributes: dict[str, Mapping[str, AttributeValue]] = {}
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
    data = assemble(
        list(user_index),
        list(item_index),
        catalogue,
        users=np.array(users, dtype=np.int32),
        items=np.array(items, dtype=np.int32),
        times=np.array(times),
        weights=np.array(weights),
        values=np.array(values),
    )
    return with_attributes(data, attributes) if attributes else data
