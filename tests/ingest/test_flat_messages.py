"""The fast conversion of flat messages gives what the general one gives."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.ingest import event_maps
from nearline.ingest.event_maps import FIELDS, EventMap, Mapper
from nearline.schema import Event
from nearline.schema.sources import Message

NOW = 1_700_000_000.0
NAMES = {"user_id": "who", "item_id": "what", "timestamp": "at"}
TEXTS = st.sampled_from(["", "a", "view", "é", "\0", "\ud800", "u" * 513, "5", "inf"])
NUMBERS = st.sampled_from([0, 7, -1, 2.5, 1e16, 10**30, NOW, NOW + 1e6, 5_000])
OTHERS = st.sampled_from([None, True, [], ["a"], {}, {"a": 1}, {"a": None}, {"a": {"b": 2}}])
VALUES = TEXTS | NUMBERS | OTHERS
MAPS = (EventMap(), EventMap(fields=NAMES, event="click"), EventMap(time_unit="ms"))


def outcome(mapper: Mapper, message: Message) -> Any:
    try:
        return mapper.events(message, NOW)
    except InvalidInput as error:
        return error.message, error.field


@given(
    event_map=st.sampled_from(MAPS),
    content=st.dictionaries(st.sampled_from([*FIELDS, *NAMES.values(), "other"]), VALUES),
    ids=st.booleans(),
    timestamp=st.sampled_from([None, 5.0, NOW + 1]),
)
@example(event_map=MAPS[0], content={"event": "", "value": 2}, ids=True, timestamp=None)
def test_equals_the_general_conversion(
    event_map: EventMap, content: dict[str, Any], ids: bool, timestamp: float | None
) -> None:
    if ids:  # most messages have both IDs
        content = {"user_id": "u", "item_id": "i", "who": "u", "what": "i"} | content
    value = json.dumps(content).encode()
    message = Message("0", 7, 8, value, None, timestamp)
    fast, general = Mapper(event_map, "s"), Mapper(event_map, "s")
    assert fast._flat is not None
    general._flat = None
    assert outcome(fast, message) == outcome(general, message)


def test_flat_messages_are_not_decoded_twice(monkeypatch: Any) -> None:
    mapper = Mapper(MAPS[1], "s")
    monkeypatch.setattr(mapper, "_decode", lambda _: 1 / 0)
    value = b'{"who": "u", "what": "i", "at": 5, "value": 2, "context": {"page": 1}, "more": [1]}'
    assert mapper.events(Message("0", 7, 8, value), NOW) == [
        Event(
            user_id="u",
            item_id="i",
            timestamp=5.0,
            event="click",
            event_id="s/0/7",
            value=2.0,
            context={"page": 1},
        )
    ]


def test_other_maps_have_no_fast_conversion() -> None:
    for event_map in (
        EventMap(fields={"user_id": "user.id"}),
        EventMap(fields={"user_id": "@key"}),
        EventMap(fields={"user_id": "a|b"}),
        EventMap(fields={"item_id": "items[]"}),
        EventMap(fields={"session_id": "user_id"}),
        EventMap(fields={"context.page": "page"}),
        EventMap(kinds={"buy": "purchase"}),
        EventMap(format="snowplow"),
    ):
        assert event_maps.Mapper(event_map, "s")._flat is None
