"""Changes of users with attributes, for followers that count what such users take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nearline.kernels import counted_events
from nearline.schema import PROFILE_RECORDS, Event, Record, StoredBlock
from nearline.schema.histories import Histories
from nearline.state.blocks import by_user
from nearline.state.changes import UsersChanged
from nearline.state.histories import CountedRows
from nearline.state.profiles import Attributes
from nearline.state.relevant import counted

if TYPE_CHECKING:
    from nearline.state.state import State


class Before(NamedTuple):
    """Users of a batch, and what was known about them before it."""

    user_ids: list[str]
    attributes: list[Attributes]
    counted: CountedRows


def users_before(batch: Sequence[tuple[int, Record]], state: "State") -> Before | None:
    """Return what is known about the users of a batch; None if none can have attributes."""
    if isinstance(batch, StoredBlock):
        if not state.profiles.with_attributes:
            return None
        user_ids = batch.events.columns["user_id"].dictionary_encode().dictionary.to_pylist()
    else:
        if not state.profiles.with_attributes and not any(
            isinstance(record, PROFILE_RECORDS) for _, record in batch
        ):
            return None
        ids = (getattr(record, "user_id", None) for _, record in batch)
        user_ids = list(dict.fromkeys(user_id for user_id in ids if user_id is not None))
    attributes = [state.profiles.attributes(user_id) for user_id in user_ids]
    return Before(user_ids, attributes, state.counted_of(user_ids))


def change_since(before: Before, state: "State") -> UsersChanged | None:
    """Return the change from `before` to what is known now; None if no user has attributes.

    The events of a user beyond those that count change nothing.
    """
    counts = state.counted_of(before.user_ids)
    after = [state.profiles.attributes(user_id) for user_id in before.user_ids]
    pairs = zip(before.attributes, after, strict=True)
    limit = counted_events.LIMITS.events
    full = before.counted.arrived >= limit
    rows = [
        row
        for row, (old, new) in enumerate(pairs)
        if (old or new) and not (full[row] and old == new)
    ]
    if not rows:
        return None
    kept = np.array(rows)
    return UsersChanged(
        [before.user_ids[row] for row in rows],
        ([before.attributes[row] for row in rows], [after[row] for row in rows]),
        (before.counted.rows.select(kept), counts.rows.select(kept)),
        counts.every[kept] | (counts.arrived[kept] <= limit),
        state.offset,
    )


def change_of_user(
    user_id: str,
    attributes: Attributes,
    gone: list[tuple[int, Event]],
    left: list[tuple[int, Event]],
    state: "State",
) -> UsersChanged:
    """Return the change by an erasure: all events, and then those that are left.

    `attributes` are those before it.
    """
    rows = (_row(sorted(gone + left, key=lambda pair: pair[0]), state), _row(left, state))
    after = state.profiles.attributes(user_id)
    complete = np.ones(1, dtype=np.bool_)
    return UsersChanged([user_id], ([attributes], [after]), rows, complete, state.offset)


def _row(events: list[tuple[int, Event]], state: "State") -> Histories:
    """Return those of the events of a user that count, as one row sorted by time."""
    columns, _ = counted(events, [], state.items, state.config)
    rows = by_user(columns, by_time=True)[1]
    return rows if len(rows) else Histories.from_rows([[]])
