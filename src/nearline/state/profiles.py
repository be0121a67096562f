"""Profiles: what is stored about users beside their events."""

import threading
from collections.abc import Iterable
from typing import NamedTuple, Self

import msgspec

from nearline.schema import (
    PROFILE_RECORDS,
    AttributeValue,
    Critique,
    ProfileRecord,
    UserPatched,
    UserPut,
    UserRecord,
)
from nearline.state.sorted_names import SortedNames

# Maximum number of attributes and of critiques of one user. A new critique beyond that removes the
# oldest; a change that leads to more attributes has no effect.
MAX_ATTRIBUTES, MAX_CRITIQUES = 64, 50

Attributes = dict[str, AttributeValue]
# Type of the tables of a checkpoint: encoded attributes, and critiques, by user.
Profiled = tuple[dict[str, bytes], dict[str, list[Critique]]]

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
    """

    attributes: dict[str, bytes]
    critiques: dict[str, list[Critique]]


class Profiles:
    """Attributes and critiques of users.

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

    @classmethod
    def from_copy(cls, lock: "threading.RLock", parts: ProfilesCopy) -> Self:
        """Create profiles from a copy, whose parts are used and modified."""
        profiles = cls(lock)
        profiles._attributes, profiles._critiques = parts
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
        """Return whether attributes of a user were ever stored."""
        return user_id in self._attributes

    def user_ids(self) -> list[str]:
        """Return the IDs of all users with attributes."""
        with self._lock:
            return list(self._attributes)

    def after(self, user_id: str, n: int) -> list[str]:
        """Return the `n` users with attributes that come first after `user_id` alphabetically."""
        return self._order.after(user_id, n, self._attributes)

    def attributes(self, user_id: str) -> Attributes:
        """Return the attributes of a user; empty for an unknown user."""
        encoded = self._attributes.get(user_id)
        return {} if encoded is None else _DECODER.decode(encoded)

    def critiques(self, user_id: str) -> list[Critique]:
        """Return the critiques of a user, oldest first; the list must not be modified."""
        return self._critiques.get(user_id, [])

    def apply(self, record: ProfileRecord) -> None:
        """Apply a record; the caller must hold the lock."""
        user_id = record.user_id
        if isinstance(record, UserPut | UserPatched):
            changed = record.applied_to(self.attributes(user_id))
            if len(changed) <= MAX_ATTRIBUTES or isinstance(record, UserPut):
                if user_id not in self._attributes:
                    self._order.added(user_id)
                self._attributes[user_id] = _ENCODER.encode(changed)
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
        for _, record in kept:
            if isinstance(record, PROFILE_RECORDS):
                self.apply(record)

    def copy(self) -> ProfilesCopy:
        """Return a copy of the tables; the caller must hold the lock."""
        return ProfilesCopy(self._attributes.copy(), self._critiques.copy())
