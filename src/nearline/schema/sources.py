"""Sources of messages: what Kafka topics and files of lines have in common."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

# Kind of the definition in the log that has the positions up to which a source was read.
SOURCE = "source"
MAX_NAME_BYTES = 200
# Partitions of a source; their positions are written with each list of events.
MAX_PARTITIONS = 1_000
# Bytes of a message; an event is far smaller.
MAX_MESSAGE_BYTES = 1_000_000


class Message(NamedTuple):
    """One message of a source.

    Attributes
    ----------
    partition : str
        Part of the source that has an order of its own.
    position, after : int
        Position of the message in its partition, and that of the next one.
    value : bytes or None
        Content; None for a message without one.
    key : bytes or None
    timestamp : float or None
        Time that the source has for the message, in Unix seconds.
    """

    partition: str
    position: int
    after: int
    value: bytes | None
    key: bytes | None = None
    timestamp: float | None = None


class Source(Protocol):
    """Protocol of sources of messages, which keep no position themselves.

    Attributes
    ----------
    name : str
        Name under which the positions are stored, at most 200 bytes.
    endless : bool
        Whether messages are expected to arrive forever.
    unit : str
        What `lag` counts, such as "messages".
    """

    name: str
    endless: bool
    unit: str

    def open(self, positions: Mapping[str, int], identity: Mapping[str, str]) -> None:
        """Begin at positions; partitions without one begin where the source was told to.

        `identity` is what the property had when the positions were stored.

        Raises
        ------
        SourceFailed
            The source is gone or cannot be reached, or is another one than that of the positions.
        """
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """What tells this source from another one of the same name; known once it is open."""
        ...

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        """Return up to `limit` messages; wait at most `seconds` for the first.

        Raises
        ------
        SourceFailed
            Waiting does not help: the source is gone, or messages were deleted before they were
            read.
        """
        ...

    @property
    def caught_up(self) -> bool:
        """Whether all messages that were there were returned."""
        ...

    def lag(self) -> dict[str, int]:
        """Return how much of each partition is not read yet, as far as it is known."""
        ...

    def close(self) -> None:
        """Release connections and files; idempotent."""
        ...
