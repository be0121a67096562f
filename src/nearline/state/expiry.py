"""Items that expire: which ones the current time hides, without a background job."""

from heapq import heapify, heappop, heappush

# Entries of the heap that may be out of date before it is made again.
SLACK = 1_000


class Expiries:
    """Times from which items are hidden, and the items that are hidden as of the last `advance`.

    Attributes
    ----------
    passed : set of int
        Items that are hidden.
    until : float
        The time at which the next item expires, in Unix seconds; infinite if none will.

    Notes
    -----
    `advance` takes O(log n) time for each item that expires, and O(n) if time went back.
    """

    def __init__(self) -> None:
        self._times: dict[int, float] = {}
        self._waiting: list[tuple[float, int]] = []
        self._since = self._now = -float("inf")
        self.passed: set[int] = set()
        self.until = float("inf")

    def put(self, item: int, time: float | None) -> bool:
        """Set the time of an item, None for never; return whether it has passed already."""
        self.passed.discard(item)
        if time is None:
            if self._times.pop(item, None) is not None and not self._times:
                self._collect()
            return False
        self._times[item] = time
        if time <= self._now:
            self.passed.add(item)
            self._since = max(self._since, time)
            return True
        heappush(self._waiting, (time, item))
        self.until = self._waiting[0][0]
        if len(self._waiting) > 2 * len(self._times) + SLACK:
            self._collect()
        return False

    @property
    def in_use(self) -> bool:
        """Whether an item expires, or has expired."""
        return bool(self._times)

    def is_current(self, now: float) -> bool:
        """Return whether nothing changes by `advance`."""
        return self._since <= now < self.until

    def advance(self, now: float) -> tuple[list[int], list[int]]:
        """Set the current time; return the items that it hides, and those that it shows again."""
        shown: list[int] = []
        self._now = now
        if now < self._since:  # the clock was set back
            shown = [item for item in self.passed if self._times[item] > now]
            self.passed.difference_update(shown)
            self._since = max((self._times[item] for item in self.passed), default=-float("inf"))
            self._collect()
        hidden: list[int] = []
        while self._waiting and self._waiting[0][0] <= now:
            time, item = heappop(self._waiting)
            # The time of an item may have changed since it was put into the heap.
            if self._times.get(item) == time and item not in self.passed:
                self.passed.add(item)
                hidden.append(item)
                self._since = time
        self.until = self._waiting[0][0] if self._waiting else float("inf")
        return hidden, shown

    def _collect(self) -> None:
        self._waiting = [
            (time, item) for item, time in self._times.items() if item not in self.passed
        ]
        heapify(self._waiting)
        self.until = self._waiting[0][0] if self._waiting else float("inf")
