"""Circuit breaker and token budget for calls to an external service.

Callers pass the current time (Unix seconds) to each method. Neither class is thread-safe.
"""

# Upper bound of the pause that a service can request with Retry-After.
MAX_PAUSE_SECONDS = 3_600.0
MINUTE, DAY = 60, 86_400
BREAKER_STATES = ("closed", "half_open", "open")


class Breaker:
    """Circuit breaker: rejects calls for a while after consecutive failures, then tries one call.

    M. Nygard, "Release It!" (2007), section 5.2.

    Parameters
    ----------
    failures : int
        Consecutive failures after which the breaker opens.
    pause_seconds : float
        Seconds that it stays open.
    """

    def __init__(self, failures: int, pause_seconds: float):
        self._most, self._pause_seconds = failures, pause_seconds
        self._failures = 0
        self._opened = self._until = 0.0
        self._trying = False

    def state(self, now: float) -> str:
        """Return ``closed`` (all calls pass), ``open`` (none) or ``half_open`` (one trial call)."""
        if self._until == 0.0:
            return "closed"
        # The lower bound closes the breaker if the clock was set back.
        return "open" if self._opened <= now < self._until else "half_open"

    def admits(self, now: float) -> bool:
        """Return whether a call may pass.

        The caller must then call `succeeded`, `failed` or `gave_up`.
        """
        state = self.state(now)
        if state == "half_open" and not self._trying:
            self._trying = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        """Record a success and close the breaker."""
        self._failures, self._until, self._trying = 0, 0.0, False

    def failed(self, now: float, retry_after: float = 0.0) -> bool:
        """Record a failure; a positive `retry_after` (seconds) opens the breaker immediately.

        Returns
        -------
        bool
            Whether this failure opened the breaker.
        """
        self._failures += 1
        opens = self._trying or self._failures >= self._most or retry_after > 0
        opens = opens and self.state(now) != "open"
        if opens:
            pause = max(self._pause_seconds, min(retry_after, MAX_PAUSE_SECONDS))
            self._opened, self._until, self._trying = now, now + pause, False
        return opens

    def gave_up(self) -> None:
        """Record a call that was cancelled before its result was known."""
        self._trying = False


class TokenBudget:
    """Limits on the tokens spent per minute and per UTC day.

    Parameters
    ----------
    per_minute, per_day : int
        Maximum number of tokens.
    """

    def __init__(self, per_minute: int, per_day: int):
        self._limits = {MINUTE: per_minute, DAY: per_day}
        self._window = dict.fromkeys(self._limits, 0)
        self._spent = dict.fromkeys(self._limits, 0)

    def take(self, tokens: int, now: float) -> bool:
        """Spend tokens if both limits allow it; return whether they were spent."""
        for length in self._limits:
            window = int(now // length)
            if window != self._window[length]:
                self._window[length], self._spent[length] = window, 0
        if any(self._spent[length] + tokens > most for length, most in self._limits.items()):
            return False
        self.correct(tokens)
        return True

    def correct(self, tokens: int) -> None:
        """Correct the spent tokens by a difference once the real cost of a call is known."""
        for length in self._spent:
            self._spent[length] = max(self._spent[length] + tokens, 0)
