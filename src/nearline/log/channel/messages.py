"""Messages between the writer of a log and its followers: MessagePack after its length."""

import socket
from io import BufferedReader

import msgspec
from msgspec import Struct

LENGTH_BYTES = 4
# Offset and payload of each record.
Payloads = list[tuple[int, bytes]]


class LogReach(Struct, frozen=True, tag=True):
    """What the log has: its end, the number of its erasures, and the ID of the active model."""

    end: int
    erasures: int
    model: str


class Gone(Struct, frozen=True, tag=True):
    """Erasure number `number`: which records of a user are gone, and which are left."""

    number: int
    user_id: str
    erased: Payloads
    kept: Payloads


class Follow(Struct, frozen=True, tag=True):
    """Request of a process to receive all changes; the answers begin with a `LogReach`."""

    process: int


class RecordsOf(Struct, frozen=True, tag=True):
    """Request for all records that name a user; the answer is `UserRecordsFound`."""

    user_id: str


class UserRecordsFound(Struct, frozen=True, tag=True):
    """Records of a user, and the number of erasures that they reflect."""

    erasures: int
    records: Payloads


class Note(Struct, frozen=True, tag=True):
    """What a follower tells the writer, such as its counters; the log does not read it."""

    topic: str
    body: bytes


Message = LogReach | Gone | Follow | RecordsOf | UserRecordsFound | Note
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


def send(to: socket.socket, *messages: Message) -> None:
    """Send messages in one write."""
    parts = [_ENCODER.encode(message) for message in messages]
    to.sendall(b"".join(len(part).to_bytes(LENGTH_BYTES) + part for part in parts))


def receive(stream: BufferedReader) -> Message | None:
    """Read the next message; None at the end of the stream, also within a message."""
    length = stream.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    size = int.from_bytes(length)
    data = stream.read(size)
    return _DECODER.decode(data) if len(data) == size else None
