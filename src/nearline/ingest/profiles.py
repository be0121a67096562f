"""Writes of attributes of users and of critiques."""

from collections.abc import Mapping
from concurrent.futures import Future

from nearline.errors import InvalidInput, UnknownCritique
from nearline.log import Appended, Log
from nearline.schema import Critique, CritiqueRevoked, check_id
from nearline.schema.profile_rules import (
    deleted_tag,
    new_consent,
    new_critique,
    new_user,
    patched_user,
)
from nearline.state import State


def put_user(log: Log, user_id: str, attributes: object, *, now: float) -> Future[Appended]:
    """Append all attributes of a user, which replace the previous ones."""
    return log.append([new_user(user_id, attributes, now=now)])


def patch_user(log: Log, state: State, user_id: str, changes: object, *, now: float) -> Appended:
    """Append a change of some attributes of a user; return once it is durable.

    Changes that are written at the same time are applied in the order of the log.

    Raises
    ------
    InvalidInput
        A name or a value is invalid, or there would be too many attributes.
    """
    log.append([]).result()  # waits until the state reflects all queued records
    before = state.profiles.stored(check_id(user_id, "user_id"))
    return log.append([patched_user(user_id, changes, before, now=now)]).result()


def add_critique(
    log: Log, state: State, user_id: str, fields: Mapping[str, object], *, now: float
) -> tuple[Critique, Future[Appended]]:
    """Append a critique; it replaces an equal one of the user.

    Raises
    ------
    InvalidInput
        The critique is invalid, or its item is unknown.
    """
    critique = new_critique(user_id, fields, now=now)
    for field, item_id in (("more_like", critique.more_like), ("not", critique.not_item)):
        if item_id is not None and item_id not in state.items:
            raise InvalidInput(
                f"{field} is {item_id!r:.100}, an item with neither events nor a catalogue entry; "
                "name an item of a list",
                field=field,
            )
    return critique, log.append([critique])


def revoke_critique(
    log: Log, state: State, user_id: str, critique_id: str, *, now: float
) -> Future[Appended]:
    """Append the removal of a critique; raise `UnknownCritique` if the user has none such."""
    check_id(user_id, "user_id")
    check_id(critique_id, "critique_id")
    known = state.profiles.critiques(user_id)
    if all(one.critique_id != critique_id for one in known):
        raise UnknownCritique(
            f"user {user_id!r:.100} has no critique {critique_id!r:.100}; list the critiques"
        )
    return log.append([CritiqueRevoked(user_id=user_id, timestamp=now, critique_id=critique_id)])


def put_consent(
    log: Log, user_id: str, profiling: object, purposes: object, *, now: float
) -> Future[Appended]:
    """Append the choice of a user, which replaces an earlier one."""
    return log.append([new_consent(user_id, profiling, purposes, now=now)])


def delete_tag(log: Log, user_id: str, tag: str, *, now: float) -> Future[Appended]:
    """Append the deletion of an interest tag."""
    return log.append([deleted_tag(user_id, tag, now=now)])
