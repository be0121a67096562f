"""Conversion of tables and catalogues to datasets, in which IDs become dense indices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.data.attributes import numbers_among, table_of_users
from nearline.data.clock import without_row_numbers
from nearline.data.dataset import Dataset, Histories
from nearline.data.order import order_of, without_row_order
from nearline.data.users import UserEncoder, attributes_of_rows
from nearline.data.vector_columns import vector_columns
from nearline.errors import InvalidInput
from nearline.kernels.counted_events import CountedLimits, counted_events
from nearline.schema import AttributeValue, Item

# Maps a kind of event to its weight.
Weight = Callable[[str], float]


def same_weight(_event: str) -> float:
    """Return the weight 1 for every kind of event."""
    return 1.0


def make_dataset(
    table: pa.Table,
    items: Iterable[Item] | None = None,
    weight: Weight = same_weight,
    *,
    users: pa.Table | None = None,
) -> Dataset:
    """Convert interactions, a catalogue and attributes of users to arrays.

    Indices are assigned in the order of first occurrence: in `table`, then in `users` and `items`.
    If an item has several entries, the last one is used. The interactions of a user are sorted by
    time; interactions with equal times keep their order. Rows of a source without times are first
    sorted by their content (see `nearline.data.order`).

    The time is O(n log n) in the number of rows.

    Parameters
    ----------
    table : pyarrow.Table
        Interactions, as returned by `read_interactions` or `clean`.
    items : iterable of Item or None
        Catalogue entries.
    weight : callable
        Maps a kind of event to its weight.
    users : pyarrow.Table or None
        Attributes, as returned by `read_users`. A `UserEncoder` converts them to
        ``user_features``.

    Raises
    ------
    InvalidInput
        `users` has no column that can be used; see `UserEncoder.fit`.
    """
    table = without_row_order(table)
    found_users = table["user_id"].combine_chunks().dictionary_encode()
    user_ids = found_users.dictionary.to_pylist()
    if users is not None:
        user_ids = list(dict.fromkeys(user_ids + users["user_id"].to_pylist()))
    found = table["item_id"].combine_chunks().dictionary_encode()
    data = assemble(
        user_ids,
        found.dictionary.to_pylist(),
        {item.item_id: item for item in items or ()},
        users=found_users.indices.to_numpy(),
        items=found.indices.to_numpy(),
        times=_floats(table["timestamp"]),
        weights=_weights(table["event"], weight),
        values=_floats(table["value"]),
    )
    return data if users is None else _with_users(data, users)


def with_attributes(
    data: Dataset, attributes: Mapping[str, Mapping[str, AttributeValue]]
) -> Dataset:
    """Add attributes by user ID to a dataset; those of other users are left out.

    Models that read `user_features` get those attributes that are single numbers or labels.
    """
    users = [attributes.get(user_id, {}) for user_id in data.user_ids]
    if not any(users):
        return data
    data = replace(data, user_attributes=users)
    numbers = numbers_among(users)
    try:
        encoder = UserEncoder.fit(table_of_users(users, numbers), quiet=True)
    except InvalidInput:  # no column can be used
        return data
    features = encoder.encode(table_of_users(users, numbers))
    features[[not user for user in users]] = 0.0
    return replace(data, user_features=features, user_encoder=encoder)


def _with_users(data: Dataset, users: pa.Table) -> Dataset:
    encoder = UserEncoder.fit(users)
    features = np.zeros((data.n_users, len(encoder.names)), dtype=np.float32)
    index = {user_id: row for row, user_id in enumerate(data.user_ids)}
    rows = [index[user_id] for user_id in users["user_id"].to_pylist()]
    features[rows] = encoder.encode(users)
    attributes: list[Mapping[str, AttributeValue]] = [{} for _ in data.user_ids]
    for row, user in zip(rows, attributes_of_rows(users), strict=True):
        attributes[row] = user
    return replace(data, user_features=features, user_encoder=encoder, user_attributes=attributes)


def histories_for(
    item_ids: Sequence[str],
    table: pa.Table,
    user_ids: Sequence[str],
    weight: Weight = same_weight,
) -> Histories:
    """Return the histories of `user_ids` in a table of interactions, one row for each.

    Items are indices into `item_ids`; interactions with other items are left out. The row of a user
    without interactions is empty. A user who occurs twice in `user_ids` has two equal rows.
    Events that a later, opposite opinion replaces are left out.
    """
    table = without_row_order(table)
    distinct = {user: row for row, user in enumerate(dict.fromkeys(user_ids))}
    users = pc.index_in(table["user_id"], value_set=pa.array(distinct, pa.string()))
    items = pc.index_in(table["item_id"], value_set=pa.array(item_ids, pa.string()))
    known = pc.and_(pc.is_valid(users), pc.is_valid(items))
    histories, _ = _sort(
        len(distinct),
        users=users.filter(known).to_numpy(),
        items=items.filter(known).to_numpy(),
        times=_floats(table["timestamp"].filter(known)),
        weights=_weights(table["event"].filter(known), weight),
    )
    histories = histories.without_superseded()
    if len(distinct) == len(user_ids):
        return histories
    return histories.select(np.array([distinct[user] for user in user_ids]))


def assemble(
    user_ids: list[str],
    item_ids: list[str],
    catalogue: Mapping[str, Item],
    *,
    values: NDArray[np.floating],
    limits: CountedLimits | None = None,
    **columns: NDArray[Any],
) -> Dataset:
    """Create a dataset from arrays with one entry for each interaction, and a catalogue.

    Events count within `limits`; None means `counted_events.LIMITS`.
    """
    histories, order = _sort(len(user_ids), **columns)
    counted = counted_events(
        columns["users"], columns["items"], columns["weights"], columns["times"], limits
    )
    known = set(item_ids)
    item_ids = item_ids + [item_id for item_id in catalogue if item_id not in known]
    entries = [catalogue.get(item_id) for item_id in item_ids]
    texts = [entry.content if entry else "" for entry in entries]
    categories = [list(entry.categories) if entry else [] for entry in entries]
    return Dataset(
        user_ids,
        item_ids,
        histories,
        values[order].astype(np.float32, copy=False),
        texts=texts if any(texts) else None,
        categories=categories if any(categories) else None,
        vectors=vector_columns(entries),
        counted=None if counted.all() else counted[order],
        order=order_of(columns["users"], columns["times"]),
    )


def _sort(
    n_users: int,
    *,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    times: NDArray[np.float64],
    weights: NDArray[np.floating],
) -> tuple[Histories, NDArray[np.intp]]:
    times = without_row_numbers(times)
    order = np.lexsort((times, users))  # stable: interactions with equal times keep their order
    counts = np.bincount(users, minlength=n_users)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return (
        Histories(
            indptr,
            items[order].astype(np.int32, copy=False),
            weights[order].astype(np.float32, copy=False),
            times[order].astype(np.float64, copy=False),
        ),
        order,
    )


def _floats(column: Any) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.to_numpy()  # null becomes NaN
    return numbers


def _weights(column: Any, weight: Weight) -> NDArray[np.float64]:
    kinds = column.combine_chunks().dictionary_encode()
    of_kind = np.array([weight(kind) for kind in kinds.dictionary.to_pylist()], dtype=np.float64)
    codes: NDArray[np.int32] = kinds.indices.to_numpy()
    return of_kind[codes]
