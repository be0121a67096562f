"""Profiles: what is stored about users beside their events."""

import threading
from collections.abc import Iterable
from typing import NamedTuple, Self

import msgspec

from nearline.schema import (
    PROFILE_RECORDS,
    AttributeValue,
    Consent,
    Critique,
    ProfileRecord,
    TagDeleted,
    UserPatched,
    UserPut,
    UserRecord,
)
from nearline.state.sorted_names import SortedNames

# Maximum number of attributes, of critiques and of deleted tags of one user. A new critique or tag
# beyond that removes the oldest; a change that leads to more attributes has no effect.
MAX_ATTRIBUTES, MAX_CRITIQUES, MAX_TAGS = 64, 50, 200

Attributes = dict[str, AttributeValue]
# Type of the tables of a checkpoint: the fields of `ProfilesCopy`.
Profiled = tuple[
    dict[str, bytes], dict[str, list[Critique]], dict[str, Consent], dict[str, dict[str, float]]
]

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Attributes)


class ProfilesCopy(NamedTuple):
    """A consistent copy of all profiles, by user ID.

    Attributes
    ----------
    attributes : dict of str to bytes
        Attributes in MessagePack.
    critiques : dict of str to list of Critique
        Critiques, oldest first.
    consents : dict of str to Consent
        The last choice of each user who made one.
    tags : dict of str to dict of str to float
        Deleted tags, and when they were deleted (Unix seconds).
    """

    attributes: dict[str, bytes]
    critiques: dict[str, list[Critique]]
    consents: dict[str, Consent]
    tags: dict[str, dict[str, float]]


class Profiles:
    """Attributes, critiques, consents and deleted tags of users.

    Attributes are stored encoded, which takes a fifth of the memory of dictionaries; reading those
    of a user takes a microsecond. Methods that read can be called by any thread.

    Parameters
    ----------
    lock : RLock
        The lock of the state.
    """

    def __init__(self, lock: "threading.RLock") -> None:
        self._lock = lock
        self._attributes: dict[str, bytes] = {}
        self._order = SortedNames()
        # The lists are replaced, not changed.
        self._critiques: dict[str, list[Critique]] = {}
        self._consents: dict[str, Consent] = {}
        self._tags: dict[str, dict[str, float]] = {}
        # Users who object to profiling: what is stored about them is not used.
        self.objecting: set[str] = set()

    @classmethod
    def from_copy(cls, lock: "threading.RLock", parts: ProfilesCopy) -> Self:
        """Create profiles from a copy, whose parts are used and modified."""
        profiles = cls(lock)
        profiles._attributes, profiles._critiques, profiles._consents, profiles._tags = parts
        profiles.objecting = {
            user_id for user_id, said in parts.consents.items() if not said.profiling
        }
        return profiles

    @property
    def with_attributes(self) -> int:
        """Number of users with a record of attributes."""
        return len(self._attributes)

    @property
    def some_critiques(self) -> bool:
        """Whether any user has a critique."""
        return bool(self._critiques)

    def knows(self, user_id: str) -> bool:
        """Return whether attributes or a choice of a user were ever stored."""
        return user_id in self._attributes or user_id in self._consents

    def user_ids(self) -> list[str]:
        """Return the IDs of all users with attributes."""
        with self._lock:
            return list(self._attributes)

    def after(self, user_id: str, n: int) -> list[str]:
        """Return the `n` users with attributes that come first after `user_id` alphabetically."""
        return self._order.after(user_id, n, self._attributes)

    @property
    def some_tags(self) -> bool:
        """Whether any user deleted a tag."""
        return bool(self._tags)

    def consent(self, user_id: str) -> Consent | None:
        """Return the last choice of a user; None if there was none."""
        return self._consents.get(user_id)

    def tags(self, user_id: str) -> dict[str, float]:
        """Return the tags that a user deleted, with times; it must not be modified."""
        return self._tags.get(user_id, {})

    def attributes(self, user_id: str) -> Attributes:
        """Return the attributes of a user that may be used: none of those who object."""
        return {} if user_id in self.objecting else self.stored(user_id)

    def stored(self, user_id: str) -> Attributes:
        """Return the stored attributes of a user; empty for an unknown user."""
        encoded = self._attributes.get(user_id)
        return {} if encoded is None else _DECODER.decode(encoded)

    def critiques(self, user_id: str) -> list[Critique]:
        """Return the critiques of a user, oldest first; the list must not be modified."""
        return self._critiques.get(user_id, [])

    def apply(self, record: ProfileRecord) -> None:
        """Apply a record; the caller must hold the lock."""
        user_id = record.user_id
        if isinstance(record, UserPut | UserPatched):
            changed = record.applied_to(self.stored(user_id))
            if len(changed) <= MAX_ATTRIBUTES or isinstance(record, UserPut):
                if user_id not in self._attributes:
                    self._order.added(user_id)
                self._attributes[user_id] = _ENCODER.encode(changed)
            return
        if isinstance(record, Consent):
            self._consents[user_id] = record
            (self.objecting.discard if record.profiling else self.objecting.add)(user_id)
            return
        if isinstance(record, TagDeleted):
            rest = {tag: at for tag, at in self.tags(user_id).items() if tag != record.tag}
            newest = [*rest.items(), (record.tag, record.timestamp)][-MAX_TAGS:]
            self._tags[user_id] = dict(newest)
            return
        others = [one for one in self.critiques(user_id) if one.critique_id != record.critique_id]
        if isinstance(record, Critique):
            self._critiques[user_id] = [*others, record][-MAX_CRITIQUES:]
        elif others:
            self._critiques[user_id] = others
        else:
            self._critiques.pop(user_id, None)

    def forget(
        self,
        user_id: str,
        gone: Iterable[tuple[int, UserRecord]],
        kept: Iterable[tuple[int, UserRecord]],
    ) -> None:
        """Remove what records of a user said, given the remaining ones; the lock must be held."""
        if not any(isinstance(record, PROFILE_RECORDS) for _, record in gone):
            return
        self._attributes.pop(user_id, None)
        self._critiques.pop(user_id, None)
        self._consents.pop(user_id, None)
        self._tags.pop(user_id, None)
        self.objecting.discard(user_id)
        for _, record in kept:
            if isinstance(record, PROFILE_RECORDS):
                self.apply(record)

    def copy(self) -> ProfilesCopy:
        """Return a copy of the tables; the caller must hold the lock."""
        said = self._critiques.copy(), self._consents.copy()
        return ProfilesCopy(self._attributes.copy(), *said, self._tags.copy())
