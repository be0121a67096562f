"""Encoding of records as rows of the log, and their decoding."""

from hashlib import blake2b

import msgspec
from msgspec import Struct

from nearline.errors import Damaged, InvalidInput
from nearline.log.base import Appendable
from nearline.schema import (
    USER_RECORDS,
    Defined,
    Erased,
    Event,
    Item,
    ItemDeleted,
    ItemPatched,
    Record,
    Undefined,
)

KEY_BYTES = 16
_KINDS = (*USER_RECORDS, Item, ItemPatched, ItemDeleted, Defined, Undefined)
# Names of all kinds of records that this version reads.
KINDS = tuple(sorted(str(kind.__struct_config__.tag) for kind in _KINDS))
_ERASED = Erased()
# Stateless, so all threads can share them.
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Appendable] = msgspec.msgpack.Decoder(Appendable)


class Coded(Struct, frozen=True, gc=False):
    """Encoded record, without its offset.

    Attributes
    ----------
    payload : bytes
        MessagePack, tagged with the kind of record; it never begins with a zero byte.
    user_key : int or None
        64-bit hash of the user ID of a record that names a user.
    event_key : bytes or None
        128-bit hash of the ID of an event. Events with equal hashes are duplicates.
    """

    payload: bytes
    user_key: int | None = None
    event_key: bytes | None = None


def kind_of(record: Appendable) -> str:
    """Return the name of the kind of a record."""
    return str(record.__struct_config__.tag)


def user_key(user_id: str) -> int:
    """Return the hash of a user ID, a signed 64-bit integer; collisions are rare but possible."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=8).digest(), signed=True)


def event_key(event_id: str) -> bytes:
    """Return the 128-bit hash of an event ID."""
    return blake2b(event_id.encode(), digest_size=KEY_BYTES).digest()


def encode(record: Appendable, position: int = 0) -> Coded:
    """Encode a record.

    Parameters
    ----------
    record : Appendable
        Record to encode.
    position : int
        Position of the record in its list, for error messages.

    Raises
    ------
    InvalidInput
        The record is of another type, or a field has a wrong type.
    """
    kind = type(record)
    if kind not in _KINDS:
        known = ", ".join(one.__name__ for one in _KINDS)
        raise InvalidInput(f"the record is of type {kind.__name__}; a log accepts {known}").at(
            position
        )
    try:
        payload = _ENCODER.encode(record)
        # Structs do not validate their fields: a user_id that is a number would be stored, and the
        # log would be unreadable from there on.
        _DECODER.decode(payload)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{kind.__name__} cannot be stored: {error}; check its fields").at(
            position
        ) from error
    return Coded(payload, *keys_of(record))


def keys_of(record: Record) -> tuple[int | None, bytes | None]:
    """Return the hashes of the user ID and event ID of a record; None if it has none."""
    if not isinstance(record, USER_RECORDS):
        return None, None
    event_id = record.event_id if isinstance(record, Event) else None
    return user_key(record.user_id), None if event_id is None else event_key(event_id)


def decode(offset: int, payload: bytes) -> Record:
    """Decode the payload at an offset; a leading zero byte stands for `Erased`.

    Raises
    ------
    Damaged
        The payload is not a valid record.
    """
    try:
        if payload and not payload[0]:
            return _ERASED
        return _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        # In a damaged file, a payload may be no bytes at all.
        raise Damaged(
            f"the log record at offset {offset} cannot be read ({error}); "
            "upgrade nearline if a newer version wrote it; otherwise restore the log from a backup"
        ) from error
