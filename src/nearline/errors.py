"""Every error that Nearline raises on purpose.

A message holds three things: the value that was refused, what is allowed, and the next step.
"""


class NearlineError(Exception):
    """Base of all errors of this package."""


class InvalidInput(NearlineError, ValueError):
    """A value from outside was refused; nothing was stored.

    Parameters
    ----------
    message : str
        What was found and what is allowed.
    field : str or None
        Name of the field at fault, as the caller knows it.
    position : int or None
        Index (from 0) in the list the caller sent, where it sent a list.
    """

    def __init__(self, message: str, *, field: str | None = None, position: int | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.position = position

    def at(self, position: int) -> "InvalidInput":
        """Return the same error, told to stand at `position` of a list."""
        return InvalidInput(
            f"entry {position}: {self.message}", field=self.field, position=position
        )


class UnknownItem(NearlineError, LookupError):
    """The item is in no event and in no catalogue entry."""


class UnknownUser(NearlineError, LookupError):
    """The user has no event."""


class UnknownJob(NearlineError, LookupError):
    """There is no such job, or it was forgotten."""


class UnknownSnapshot(NearlineError, LookupError):
    """There is no such snapshot."""


class NotTrained(NearlineError, RuntimeError):
    """The call needs a trained model and there is none."""


class StoreInUse(NearlineError, RuntimeError):
    """Another process has the store open."""


class Closed(NearlineError, RuntimeError):
    """The log or engine was closed before this call."""


class Overloaded(NearlineError, RuntimeError):
    """A queue is full; nothing was stored, and the same call may be made again in a second."""


class StorageFailed(NearlineError, OSError):
    """The disk or database under a store refused; the message says what is stored all the same."""


class WorkerFailed(NearlineError, RuntimeError):
    """The process of a job ended before it was done; what served before goes on serving."""


class EncoderFailed(NearlineError, RuntimeError):
    """An encoder outside this process gave no vectors; its message says why."""


class Damaged(NearlineError, RuntimeError):
    """A checkpoint, snapshot or log does not hold what it says it holds."""


class DataNotFound(NearlineError, FileNotFoundError):
    """A data set or file is not where it was looked for."""


class MissingExtra(NearlineError, ImportError):
    """An optional package is needed; the message names the extra to install."""
