"""RequestRates of requests: a token bucket for each key and each address.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm, ITU-T
I.371): a request moves it by the time that one token takes to come back, and is refused if that
would be further away than the size of the bucket.
"""

from collections.abc import Hashable

# Buckets that are remembered; full ones are dropped first.
MAX_BUCKETS = 100_000


class RequestRates:
    """Token buckets by name.

    Parameters
    ----------
    per_second : float or None
        Tokens that come back per second; None for buckets that state their own rate only.
    burst : float
        Size of a bucket, in seconds of its rate; at least one token.
    """

    def __init__(self, per_second: float | None, burst: float = 1.0) -> None:
        self.per_second = per_second
        self._burst = burst
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        """Return the number of buckets."""
        return len(self._full_at)

    def take(self, name: Hashable, now: float, per_second: float | None = None) -> float:
        """Take a token; return 0, or the seconds after which there is one again.

        Parameters
        ----------
        name : hashable
            Name of the bucket.
        now : float
            Time in seconds, never decreasing.
        per_second : float or None
            Rate of this bucket, if it differs.
        """
        rate = self.per_second if per_second is None else per_second
        if rate is None:
            return 0.0
        # Each cached list takes a token, so no function is called but the look-up.
        step, burst = 1.0 / rate, self._burst
        full_at = self._full_at.get(name)
        if full_at is None:
            full_at = now
            if len(self._full_at) >= MAX_BUCKETS:
                self._drop(now)
        elif full_at < now:
            full_at = now
        full_at += step
        late = full_at - now - (burst if burst > step else step)
        if late > 1e-9:
            return late
        self._full_at[name] = full_at
        return 0.0

    def _drop(self, now: float) -> None:
        """Drop the buckets that are full; if none is, drop the half that is full first."""
        left = {name: at for name, at in self._full_at.items() if at > now}
        if len(left) >= MAX_BUCKETS:
            fullest = sorted(left, key=left.__getitem__)[: MAX_BUCKETS // 2]
            for name in fullest:
                del left[name]
        self._full_at = left
