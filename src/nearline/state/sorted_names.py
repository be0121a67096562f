"""IDs in alphabetical order, for pages of a listing."""

from bisect import bisect_right, insort
from collections.abc import Collection
from threading import Lock

# New IDs that are inserted one by one; more are sorted.
FEW = 32
SLACK = 1_000


class SortedNames:
    """Order of a collection of IDs, which is made by the first reading and kept from then on.

    One thread adds; any thread may read.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._sorted: list[str] | None = None
        self._new: list[str] | None = None

    def added(self, name: str) -> None:
        """Include a new ID. Removed ones need no call: readers skip them."""
        if self._new is not None:
            self._new.append(name)

    def after(self, name: str, n: int, current: Collection[str]) -> list[str]:
        """Return the `n` IDs of `current` that come first after `name`, in alphabetical order.

        Takes O(n) time, and O(m log m) for m IDs when the order is made.
        """
        with self._lock:
            order = self._ordered(current)
            found: list[str] = []
            at = bisect_right(order, name)
            while at < len(order) and len(found) < n:
                if order[at] in current and found[-1:] != [order[at]]:
                    found.append(order[at])
                at += 1
        return found

    def _ordered(self, current: Collection[str]) -> list[str]:
        if self._sorted is None or len(self._sorted) > 2 * len(current) + SLACK:
            self._new = []  # from here on, before the copy, so that none is missed
            self._sorted = sorted(list(current))  # noqa: C414 (a copy, while another thread adds)
            return self._sorted
        new = self._new or []
        taken = [new.pop() for _ in range(len(new))]
        if len(taken) > FEW:
            self._sorted.extend(taken)
            self._sorted.sort()
        else:
            for name in taken:
                insort(self._sorted, name)
        return self._sorted
