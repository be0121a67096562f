"""Objections to profiling: events of a user who objects are in the log, but not in the state.

The state is at any time as if the log had no event of such a user. A record that changes a user's
choice therefore removes the user's earlier events, or adds all of them again; they are read from
the log.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from nearline.schema import Consent, Erased, Event, Record, StoredBlock
from nearline.state.attributed import Before, change_of_user, change_since

if TYPE_CHECKING:
    from nearline.state.state import State

Batch = Sequence[tuple[int, Record]]
# Returns all events of a user with their offsets, in order.
RecordsOf = Callable[[str], list[tuple[int, Event]]]
_ERASED = Erased()


def pieces(batch: Batch, most: int) -> Iterator[Batch]:
    """Yield a batch in pieces of at most `most` records; a `Consent` stands alone."""
    if len(batch) <= most and not _some_consent(batch):  # nearly always
        if len(batch):
            yield batch
        return
    for start in range(0, len(batch), most):
        some = batch[start : start + most]
        if not _some_consent(some):
            yield some
            continue
        first = 0
        for at, (_, record) in enumerate(some):
            if isinstance(record, Consent):
                if first < at:
                    yield some[first:at]
                yield some[at : at + 1]
                first = at + 1
        if first < len(some):
            yield some[first:]


def profiled(batch: Batch, objecting: Collection[str]) -> Batch:
    """Return a batch in which the events of users who object are replaced by `Erased`."""
    if not objecting:
        return batch
    if isinstance(batch, StoredBlock):
        users = batch.events.columns["user_id"].dictionary_encode().dictionary.to_pylist()
        if not any(user_id in objecting for user_id in users):
            return batch
    return [
        (offset, _ERASED)
        if isinstance(record, Event) and record.user_id in objecting
        else (offset, record)
        for offset, record in batch
    ]


def apply_consent(state: "State", offset: int, record: Consent) -> None:
    """Apply the choice of a user: remove or add the user's earlier events, if it changes."""
    user_id = record.user_id
    objected = user_id in state.profiles.objecting
    if objected != record.profiling:  # nothing changes
        with state.lock:
            state.profiles.apply(record)
            state.offset = max(state.offset, offset + 1)
    else:
        events = [pair for pair in state.events_of(user_id) if pair[0] < offset]
        if record.profiling:
            _restore(state, record, events)
        else:
            _withdraw(state, record, events)
        with state.lock:
            state.offset = max(state.offset, offset + 1)
    state.reflected = state.reflected._replace(offset=state.offset)


def _withdraw(state: "State", record: Consent, events: list[tuple[int, Event]]) -> None:
    user_id = record.user_id
    with state.lock:
        followers = state.followers
        attributes = state.profiles.attributes(user_id)
        state.profiles.apply(record)
        users = None
        if attributes and followers:
            users = change_of_user(user_id, attributes, events, [], state)
        history = state.forget_events(user_id, events, [])[0] if events else None
    for follower in followers:
        if history is not None:
            follower.forget(history)
        if users is not None:
            follower.change_users(users)


def _restore(state: "State", record: Consent, events: list[tuple[int, Event]]) -> None:
    user_id = record.user_id
    with state.lock:
        followers = state.followers
        before = Before([user_id], [{}], state.counted_of([user_id]))
        state.profiles.apply(record)
        changed, added = state.fold_again(user_id, events)
        users = change_since(before, state) if state.profiles.attributes(user_id) else None
    for follower in followers:
        if changed:
            follower.put_items(changed)
        if added is not None:
            follower.add_events(added)
        if users is not None:
            follower.change_users(users)


def _some_consent(batch: Batch) -> bool:
    if isinstance(batch, StoredBlock):
        return False
    return any(type(record) is Consent for _, record in batch)
