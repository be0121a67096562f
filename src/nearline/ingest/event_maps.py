"""Conversion of messages of a source to events."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from nearline.errors import InvalidInput
from nearline.ingest.flat_messages import Convert, flat_converter
from nearline.schema import Event, check_event
from nearline.schema.sources import MAX_MESSAGE_BYTES, Message
from nearline.schema.times import parse_time

FIELDS = (
    *("user_id", "item_id", "timestamp", "event", "event_id", "value", "session_id"),
    *("recommendation_id", "context"),
)
_IDS = ("user_id", "item_id", "event", "event_id", "session_id", "recommendation_id")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
# Events of one message, such as the products of an order.
MAX_EVENTS = 1_000
_EACH = "[]"
_KEY = "@key"
_CONTEXT = "context."

Decode = Callable[[bytes], Any]


class EventMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parts of a message are the fields of an event.

    Attributes
    ----------
    fields : dict of str to str
        Path of each field of an event, such as ``properties.product_id``. Paths that are separated
        by ``|`` are tried in order; ``@key`` is the key of the message. ``products[].id`` makes an
        event of each entry of a list. ``context.NAME`` is one field of the context. A field that is
        not named has the path of its own name.
    kinds : dict of str to str or None
        Kind of event for each kind in messages; messages of other kinds are skipped. None keeps
        them as they are.
    event : str
        Kind of messages that have none.
    time_unit : str
        Unit of times that are numbers: "s", "ms" or "us".
    format : str
        "json", or "snowplow" for enriched events of Snowplow, tab-separated or as JSON.
    """

    fields: dict[str, str] = {}
    kinds: dict[str, str] | None = None
    event: str = "view"
    time_unit: str = "s"
    format: str = "json"


class _Path(NamedTuple):
    """Compiled path: its alternatives, each the keys before and after ``[]``.

    `name` is the only key of the usual path, a name of the message itself.
    """

    options: tuple[tuple[tuple[str, ...], tuple[str, ...] | None], ...]
    name: str | None

    def value(self, whole: Any, entry: Any, key: bytes | None) -> Any:
        if self.name is not None:
            found = whole.get(self.name)
            return None if found == "" else found
        for before, after in self.options:
            if before == (_KEY,):
                found = None if key is None else key.decode(errors="replace")
            else:
                found = _get(whole, before) if after is None else _get(entry, after)
            if found is not None and found != "":
                return found
        return None


class Mapper:
    """Converts messages to events by an `EventMap`.

    Raises
    ------
    InvalidInput
        A field, unit or format does not exist, or lists of different places are combined.
    """

    def __init__(self, event_map: EventMap, source: str) -> None:
        _check(event_map)
        self._map, self._source = event_map, source
        self._scale = UNITS[event_map.time_unit]
        paths = {name: name for name in FIELDS} | event_map.fields
        self._context = {
            name.removeprefix(_CONTEXT): _compiled(path)
            for name, path in paths.items()
            if name.startswith(_CONTEXT)
        }
        self._paths = {name: _compiled(paths[name]) for name in FIELDS}
        lists = {
            before
            for path in (*self._paths.values(), *self._context.values())
            for before, after in path.options
            if after is not None
        }
        if len(lists) > 1:
            raise InvalidInput(
                f"fields are mapped to entries of the lists {sorted(map('.'.join, lists))}; they "
                "must be of one list",
                field="map",
            )
        self._list = next(iter(lists), None)
        self._decode = decoder(event_map.format)
        self._flat = self._flat_converter()

    def events(self, message: Message, now: float) -> list[Event]:
        """Return the events of a message; none if it is skipped.

        Raises
        ------
        InvalidInput
            The message is not an event; the error names the reason.
        """
        if self._flat is not None and (flat := self._flat(message, now)) is not None:
            return [flat]
        value = message.value
        if not value:
            return []
        if len(value) > MAX_MESSAGE_BYTES:
            raise InvalidInput(f"the message is larger than {MAX_MESSAGE_BYTES:,} bytes")
        content = self._decode(value)
        if not isinstance(content, dict):
            raise InvalidInput(f"the message is {type(content).__name__}; it must be a JSON object")
        if self._list is None:
            event = self._event(message, content, None, None, now)
            return [] if event is None else [event]
        entries = _get(content, self._list)
        if entries is None:
            entries = [None]
        if not isinstance(entries, list):
            raise InvalidInput(f"{'.'.join(self._list)} is not a list")
        if len(entries) > MAX_EVENTS:
            raise InvalidInput(
                f"{'.'.join(self._list)} has {len(entries):,} entries; at most {MAX_EVENTS:,} are "
                "allowed"
            )
        several = (
            self._event(message, content, entry, number, now)
            for number, entry in enumerate(entries)
        )
        return [event for event in several if event is not None]

    def _flat_converter(self) -> Convert | None:
        """Return the fast conversion; None if fields are not at places of their own."""
        event_map = self._map
        names = {name: path.name for name, path in self._paths.items() if path.name is not None}
        usual = len(names) == len(FIELDS) == len(set(names.values()))
        if not usual or self._context or event_map.kinds is not None or event_map.format != "json":
            return None
        return flat_converter(names, event_map.event, self._scale, self._source)

    def _event(
        self, message: Message, content: Any, entry: Any, number: int | None, now: float
    ) -> Event | None:
        paths, key = self._paths, message.key
        kind = paths["event"].value(content, entry, key)
        kind = self._map.event if kind is None else _id(kind, "event")
        if self._map.kinds is not None:
            kind = self._map.kinds.get(kind)
            if kind is None:
                return None
        found = {
            name: None
            if (one := paths[name].value(content, entry, key)) is None
            else _id(one, name)
            for name in ("user_id", "item_id", "event_id", "session_id", "recommendation_id")
        }
        for name in ("user_id", "item_id"):
            if found[name] is None:
                raise InvalidInput(
                    f"{name} is missing: there is nothing at {self._map.fields.get(name, name)!r}",
                    field=name,
                )
        event_id = found["event_id"]
        if event_id is None:
            event_id = f"{self._source}/{message.partition}/{message.position}"
        if number is not None:
            event_id = f"{event_id}/{number}"
        event = Event(
            user_id=found["user_id"] or "",
            item_id=found["item_id"] or "",
            timestamp=self._time(paths["timestamp"].value(content, entry, key), message, now),
            event=kind,
            event_id=event_id,
            value=_number(paths["value"].value(content, entry, key)),
            session_id=found["session_id"],
            recommendation_id=found["recommendation_id"],
            context=self._context_of(content, entry, key),
        )
        return check_event(event, now=now)

    def _time(self, given: Any, message: Message, now: float) -> float:
        if given is None:
            return now if message.timestamp is None else min(message.timestamp, now)
        if self._scale != 1.0 and isinstance(given, int | float) and not isinstance(given, bool):
            given = given * self._scale
        return parse_time(given, now=now)

    def _context_of(self, content: Any, entry: Any, key: bytes | None) -> dict[str, Any] | None:
        context = self._paths["context"].value(content, entry, key)
        if not self._context:
            return context  # type: ignore[no-any-return]
        named = {name: path.value(content, entry, key) for name, path in self._context.items()}
        context = {name: value for name, value in named.items() if value is not None}
        return context or None


class SeveralMaps:
    """Converts each message by the first map that does not skip it."""

    def __init__(self, maps: list[EventMap], source: str) -> None:
        self._mappers = [Mapper(one, source) for one in maps]

    def events(self, message: Message, now: float) -> list[Event]:
        """Return the events of a message; none if all maps skip it."""
        for mapper in self._mappers:
            if events := mapper.events(message, now):
                return events
        return []


def decoder(name: str) -> Decode:
    """Return a function that decodes messages of a format."""
    if name == "snowplow":
        from nearline.ingest.snowplow import decode_enriched

        return decode_enriched
    return decode_json


def decode_json(value: bytes) -> Any:
    """Return a JSON document; raise `InvalidInput` if it is none."""
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the message is not JSON: {error}") from None


def _check(event_map: EventMap) -> None:
    for name in event_map.fields:
        if name not in FIELDS and not (name.startswith(_CONTEXT) and len(name) > len(_CONTEXT)):
            raise InvalidInput(
                f"{name!r:.100} is no field of an event; fields are {', '.join(FIELDS)} and "
                "context.NAME",
                field="map",
            )
    if event_map.time_unit not in UNITS:
        raise InvalidInput(
            f"the unit of times is {event_map.time_unit!r:.50}; it must be one of "
            f"{', '.join(UNITS)}",
            field="time_unit",
        )
    if event_map.format not in ("json", "snowplow"):
        raise InvalidInput(
            f"the format is {event_map.format!r:.50}; it must be json or snowplow", field="format"
        )


def _compiled(path: str) -> _Path:
    options: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []
    for option in path.split("|"):
        before, each, after = option.strip().partition(_EACH)
        keys, inner = tuple(before.split(".")), tuple(after.removeprefix(".").split("."))
        if not all(keys) or (each and after and not all(inner)) or _EACH in after:
            raise InvalidInput(
                f"{path!r:.200} is no path; write names with dots, such as properties.id or "
                "products[].id",
                field="map",
            )
        options.append((keys, (inner if after else ()) if each else None))
    first, rest = options[0]
    usual = len(options) == 1 and len(first) == 1 and rest is None and first != (_KEY,)
    return _Path(tuple(options), first[0] if usual else None)


def _get(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _id(value: Any, field: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(
        f"{field} is {type(value).__name__}; it must be a text or a whole number", field=field
    )


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise InvalidInput(
                f"value is {value!r:.50}; it must be a number", field="value"
            ) from None
    return value  # type: ignore[no-any-return]
