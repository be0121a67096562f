"""The lists of the last answers, by their IDs."""

from collections.abc import Sequence
from typing import NamedTuple

# Half of the lists, and of their lines, that are remembered at most.
MAX_LISTS, MAX_LINES = 10_000, 500_000


class RecentList(NamedTuple):
    """User (None for a session without an account) and items of a list."""

    user_id: str | None
    item_ids: tuple[str, ...]


class RecentLists:
    """A bounded table of the last lists: two generations, of which the older is dropped whole.

    Adding a list takes constant time, and the table has no order to maintain.
    """

    def __init__(self) -> None:
        self._new: dict[str, RecentList] = {}
        self._old: dict[str, RecentList] = {}
        self._lines = 0

    def add(self, recommendation_id: str, user_id: str | None, item_ids: Sequence[str]) -> None:
        """Remember a list."""
        if len(self._new) >= MAX_LISTS or self._lines >= MAX_LINES:
            self._old, self._new, self._lines = self._new, {}, 0
        self._new[recommendation_id] = RecentList(user_id, tuple(item_ids))
        self._lines += len(item_ids)

    def get(self, recommendation_id: str) -> RecentList | None:
        """Return a list; None if it is unknown or too long ago."""
        return self._new.get(recommendation_id) or self._old.get(recommendation_id)

    def of(self, user_id: str) -> list[tuple[str, RecentList]]:
        """Return IDs and lists of a user, the newest last. O(lists)."""
        found = {**self._old, **self._new}
        return [(name, one) for name, one in found.items() if one.user_id == user_id]

    def forget(self, user_id: str) -> None:
        """Drop the lists of a user."""
        for lists in (self._new, self._old):
            for name in [name for name, one in list(lists.items()) if one.user_id == user_id]:
                lists.pop(name, None)
