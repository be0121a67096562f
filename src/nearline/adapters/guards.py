"""What stands between a service outside and whoever asks it: a breaker, and a budget.

Both take the time (Unix seconds) with each call, and are used from one thread.
"""

# A service may ask to be left alone, but not for ever.
MAX_PAUSE_SECONDS = 3_600.0
MINUTE, DAY = 60, 86_400
BREAKER_STATES = ("closed", "half_open", "open")


class Breaker:
    """Lets nobody through for a while after some failures in a row; then one, to see.

    The circuit breaker of M. Nygard, "Release It!" (2007), section 5.2.

    Parameters
    ----------
    failures : int
        In a row, after which it opens.
    pause_seconds : float
        How long it stays open.
    """

    def __init__(self, failures: int, pause_seconds: float):
        self._most, self._pause_seconds = failures, pause_seconds
        self._failures = 0
        self._opened = self._until = 0.0
        self._trying = False

    def state(self, now: float) -> str:
        """Return ``closed`` (all go through), ``open`` (none) or ``half_open`` (one, to see)."""
        if self._until == 0.0:
            return "closed"
        # A clock that was set back must not keep it open.
        return "open" if self._opened <= now < self._until else "half_open"

    def admits(self, now: float) -> bool:
        """Whether a call may go through; it must report back by one of the other verbs."""
        state = self.state(now)
        if state == "half_open" and not self._trying:
            self._trying = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        """Close: the service answers."""
        self._failures, self._until, self._trying = 0, 0.0, False

    def failed(self, now: float, retry_after: float = 0.0) -> bool:
        """Count a failure; `retry_after` seconds, where given, are kept to at once.

        Returns
        -------
        bool
            Whether this failure opened it.
        """
        self._failures += 1
        opens = self._trying or self._failures >= self._most or retry_after > 0
        opens = opens and self.state(now) != "open"
        if opens:
            pause = max(self._pause_seconds, min(retry_after, MAX_PAUSE_SECONDS))
            self._opened, self._until, self._trying = now, now + pause, False
        return opens

    def gave_up(self) -> None:
        """Say nothing of the service: the caller went away before it could answer."""
        self._trying = False


class TokenBudget:
    """Tokens spent in this minute and on this day (UTC), each below its limit.

    Parameters
    ----------
    per_minute, per_day : int
        Limits.
    """

    def __init__(self, per_minute: int, per_day: int):
        self._limits = {MINUTE: per_minute, DAY: per_day}
        self._window = dict.fromkeys(self._limits, 0)
        self._spent = dict.fromkeys(self._limits, 0)

    def take(self, tokens: int, now: float) -> bool:
        """Spend so many tokens, if both limits allow it."""
        for length in self._limits:
            window = int(now // length)
            if window != self._window[length]:
                self._window[length], self._spent[length] = window, 0
        if any(self._spent[length] + tokens > most for length, most in self._limits.items()):
            return False
        self.correct(tokens)
        return True

    def correct(self, tokens: int) -> None:
        """Add tokens, or give some back, once it is known what a call really took."""
        for length in self._spent:
            self._spent[length] = max(self._spent[length] + tokens, 0)
