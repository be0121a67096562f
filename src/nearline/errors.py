"""Exceptions that Nearline raises.

A message states the rejected value, what is allowed, and how to proceed.
"""


class NearlineError(Exception):
    """Base class of all exceptions of this package."""


class InvalidInput(NearlineError, ValueError):
    """An argument or a field of a request is invalid; nothing was stored.

    Parameters
    ----------
    message : str
        The value that was found and what is allowed.
    field : str or None
        Name of the invalid field, as the caller knows it.
    position : int or None
        Index (from 0) of the invalid entry if the caller sent a list.
    """

    def __init__(self, message: str, *, field: str | None = None, position: int | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.position = position

    def at(self, position: int) -> "InvalidInput":
        """Return the same error with `position` as the index of the invalid list entry."""
        return InvalidInput(
            f"entry {position}: {self.message}", field=self.field, position=position
        )


class UnknownItem(NearlineError, LookupError):
    """The item occurs in no event and has no catalogue entry."""


class UnknownUser(NearlineError, LookupError):
    """The user has neither events nor attributes."""


class UnknownCritique(NearlineError, LookupError):
    """The user has no critique with this ID."""


class UnknownJob(NearlineError, LookupError):
    """There is no such job, or it finished so long ago that it was discarded."""


class UnknownSnapshot(NearlineError, LookupError):
    """There is no such snapshot."""


class UnknownScenario(NearlineError, LookupError):
    """There is no scenario of this name; the message states the nearest one."""


class UnknownExperiment(NearlineError, LookupError):
    """There is no experiment of this name; the message states the nearest one."""


class UnknownRule(NearlineError, LookupError):
    """There is no rule of this name; the message states the nearest one."""


class UnknownNamespace(NearlineError, LookupError):
    """The server has no namespace of this name; the message states the nearest one."""


class NotTrained(NearlineError, RuntimeError):
    """The call needs a trained model, and there is none yet."""


class BudgetSpent(NearlineError, RuntimeError):
    """What is left of the privacy budget is less than the call needs; nothing was released."""


class StoreInUse(NearlineError, RuntimeError):
    """Another process has the store open."""


class Closed(NearlineError, RuntimeError):
    """The log or engine was closed before this call."""


class Overloaded(NearlineError, RuntimeError):
    """A queue is full; nothing was stored, and the call may be retried after a second."""


class StorageFailed(NearlineError, OSError):
    """Writing to the disk or database failed; the message states what was stored nevertheless."""


class LogUnavailable(NearlineError, ConnectionError):
    """The database of the log does not answer at the moment; the call may be retried.

    A write may have been stored nevertheless: an `event_id` makes it safe to retry.
    """


class StaleLease(NearlineError, RuntimeError):
    """Another server took over a lease; what was done under it is refused."""


class NotThereYet(NearlineError, TimeoutError):
    """A server did not reach the log offset of a read in time; the read may be retried."""


class WorkerFailed(NearlineError, RuntimeError):
    """The process of a job ended before the job was complete; the current model keeps serving."""


class EncoderFailed(NearlineError, RuntimeError):
    """An external encoder returned no vectors; the message states the reason."""


class SourceFailed(NearlineError, RuntimeError):
    """A source of events is gone, or is another one than before; what was read is stored."""


class Damaged(NearlineError, RuntimeError):
    """A checkpoint, snapshot or log is corrupt."""


class DataNotFound(NearlineError, FileNotFoundError):
    """A data set or file does not exist."""


class MissingExtra(NearlineError, ImportError):
    """An optional package is not installed; the message names the extra to install."""
