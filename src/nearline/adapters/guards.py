"""Circuit breaker and token budget, which limit calls to an external service.

The parameter `now` of the methods is the current time in Unix seconds. The classes are not
thread-safe.
"""

# Maximum pause that a service can request with the header Retry-After.
MAX_PAUSE_SECONDS = 3_600.0
MINUTE, DAY = 60, 86_400
BREAKER_STATES = ("closed", "half_open", "open")


class Breaker:
    """Circuit breaker, which rejects calls for some time after consecutive failures.

    After the pause, it admits one call. If that succeeds, it admits all calls again.

    M. Nygard, "Release It!" (2007), section 5.2.

    Parameters
    ----------
    failures : int
        Number of consecutive failures after which the breaker opens.
    pause_seconds : float
        Seconds for which it stays open, if the service does not request more.
    """

    def __init__(self, failures: int, pause_seconds: float):
        self._most, self._pause_seconds = failures, pause_seconds
        self._failures = 0
        self._opened = self._until = 0.0
        self._trying = False

    def state(self, now: float) -> str:
        """Return whether calls are admitted.

        The result is ``closed`` (all calls), ``open`` (no call) or ``half_open`` (one trial call).
        """
        if self._until == 0.0:
            return "closed"
        # The lower bound closes the breaker if the clock was set back.
        return "open" if self._opened <= now < self._until else "half_open"

    def admits(self, now: float) -> bool:
        """Return whether a call is admitted.

        If it is, `succeeded`, `failed` or `gave_up` must be called when it ends.
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
        """Record a failure.

        Parameters
        ----------
        now : float
            Current time in Unix seconds.
        retry_after : float
            Seconds that the service requests without calls; a positive number opens the breaker
            regardless of the number of failures.

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
        """Record that a call was cancelled before its result was known."""
        self._trying = False


class TokenBudget:
    """Budget of tokens per minute and per day (UTC).

    Parameters
    ----------
    per_minute, per_day : int
        Maximum number of tokens in each period.
    """

    def __init__(self, per_minute: int, per_day: int):
        self._limits = {MINUTE: per_minute, DAY: per_day}
        self._window = dict.fromkeys(self._limits, 0)
        self._spent = dict.fromkeys(self._limits, 0)

    def take(self, tokens: int, now: float) -> bool:
        """Spend tokens if neither limit is exceeded; return whether they were spent."""
        for length in self._limits:
            window = int(now // length)
            if window != self._window[length]:
                self._window[length], self._spent[length] = window, 0
        if any(self._spent[length] + tokens > most for length, most in self._limits.items()):
            return False
        self.correct(tokens)
        return True

    def correct(self, tokens: int) -> None:
        """Add a difference, possibly negative, to the spent tokens.

        It is called when the actual number of tokens of a call is known.
        """
        for length in self._spent:
            self._spent[length] = max(self._spent[length] + tokens, 0)
