"""Fast conversion of flat messages: JSON objects whose own fields are those of an event.

A message is decoded into a structure with the types of an event's fields, without a dictionary in
between. What doesn't fit, such as a number as an ID or an empty text, is left to `event_maps`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nearline.errors import InvalidInput
from nearline.schema import Event, Scalar, check_event
from nearline.schema.sources import MAX_MESSAGE_BYTES, Message

_TYPES: dict[str, Any] = {
    "user_id": str,
    "item_id": str,
    "timestamp": float | None,
    "event": str | None,
    "event_id": str | None,
    "value": float | None,
    "session_id": str | None,
    "recommendation_id": str | None,
    "context": dict[str, Scalar] | None,
}
_REQUIRED = ("user_id", "item_id")

Convert = Callable[[Message, float], Event | None]


def flat_converter(names: Mapping[str, str], event: str, scale: float, source: str) -> Convert:
    """Return a function that converts a message to an event, or to None if it is not flat.

    It returns None for a message that is no event, too, so that all errors are those of
    `event_maps`.

    Parameters
    ----------
    names : mapping
        Name in the message of each field of an event; all names must differ.
    event : str
        Kind of messages that have none.
    scale : float
        Unit of times, in seconds.
    source : str
        Name of the source, for the IDs of events that have none.
    """
    fields = [
        (name, kind) if name in _REQUIRED else (name, kind, None) for name, kind in _TYPES.items()
    ]
    flat = msgspec.defstruct("FlatMessage", fields, rename=dict(names), gc=False)
    decode = msgspec.json.Decoder(flat).decode

    def convert(message: Message, now: float) -> Event | None:
        value = message.value
        if not value or len(value) > MAX_MESSAGE_BYTES:
            return None
        try:
            found: Any = decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        kind, event_id, at = found.event, found.event_id, found.timestamp
        session_id, recommendation_id = found.session_id, found.recommendation_id
        if "" in (found.user_id, found.item_id, kind, event_id, session_id, recommendation_id):
            return None
        if at is not None:
            at *= scale
        else:
            at = now if message.timestamp is None else min(message.timestamp, now)
        if event_id is None:
            event_id = f"{source}/{message.partition}/{message.position}"
        converted = Event(
            user_id=found.user_id,
            item_id=found.item_id,
            timestamp=at,
            event=event if kind is None else kind,
            event_id=event_id,
            value=found.value,
            session_id=session_id,
            recommendation_id=recommendation_id,
            context=found.context,
        )
        try:
            return check_event(converted, now=now)
        except InvalidInput:
            return None

    return convert
