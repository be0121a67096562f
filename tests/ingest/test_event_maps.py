"""Messages and what becomes of them: fields, lists, kinds, IDs, and what is no event."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nearline.errors import DataNotFound, InvalidInput
from nearline.ingest.event_maps import EventMap, Mapper
from nearline.ingest.ready_maps import mapper_of
from nearline.schema import Event
from nearline.schema.sources import Message

NOW = 1_700_000_000.0


def message(value: Any, **fields: Any) -> Message:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Message(**{"partition": "0", "position": 7, "after": 8, "value": raw, **fields})


def converted(value: Any, event_map: EventMap | None = None, **fields: Any) -> list[Event]:
    return Mapper(event_map or EventMap(), "kafka:t").events(message(value, **fields), NOW)


def test_a_message_with_the_fields_of_an_event() -> None:
    found = converted(
        {
            "user_id": 5,
            "item_id": "i",
            "timestamp": "2023-01-01T00:00:00Z",
            "event": "purchase",
            "event_id": "e",
            "value": 2,
            "session_id": "s",
            "context": {"page": "home"},
            "unknown": [1],
        }
    )
    assert found == [
        Event(
            user_id="5",
            item_id="i",
            timestamp=1_672_531_200.0,
            event="purchase",
            event_id="e",
            value=2,
            session_id="s",
            context={"page": "home"},
        )
    ]


def test_without_an_id_the_position_is_the_id_and_without_a_time_that_of_the_source() -> None:
    (event,) = converted({"user_id": "u", "item_id": "i"}, timestamp=5.0)
    assert (event.event_id, event.timestamp, event.event) == ("kafka:t/0/7", 5.0, "view")
    (late,) = converted({"user_id": "u", "item_id": "i"}, timestamp=NOW + 1e9)
    assert late.timestamp == NOW
    (undated,) = converted({"user_id": "u", "item_id": "i"})
    assert undated.timestamp == NOW


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b", "x"),
        ("nothing|a.b", "x"),
        ("empty | c", "y"),
        ("@key", "k"),
        ("nothing|@key", "k"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    content = {"a": {"b": "x"}, "c": "y", "empty": "", "item_id": "i"}
    (event,) = converted(content, EventMap(fields={"user_id": path}), key=b"k")
    assert event.user_id == expected


def test_a_list_gives_an_event_for_each_entry() -> None:
    event_map = EventMap(fields={"item_id": "order.lines[].sku", "value": "order.lines[].n"})
    content = {
        "user_id": "u",
        "event_id": "e",
        "order": {"lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": "3"}]},
    }
    found = converted(content, event_map)
    assert [(one.item_id, one.value, one.event_id) for one in found] == [
        ("a", 2, "e/0"),
        ("b", 3.0, "e/1"),
    ]
    assert converted({"user_id": "u", "order": {"lines": []}}, event_map) == []
    plain = EventMap(fields={"item_id": "items[]"})
    assert [one.item_id for one in converted({"user_id": "u", "items": ["a", 2]}, plain)] == [
        "a",
        "2",
    ]


def test_kinds_of_no_interest_are_skipped() -> None:
    event_map = EventMap(kinds={"buy": "purchase"})
    content = {"user_id": "u", "item_id": "i", "event": "buy"}
    assert converted(content, event_map)[0].event == "purchase"
    assert converted(content | {"event": "other"}, event_map) == []
    assert converted({"event": "other"}, event_map) == []
    assert converted(None) == converted(b"") == []


def test_units_of_times_and_fields_of_the_context() -> None:
    event_map = EventMap(fields={"context.land": "geo.country"}, time_unit="ms")
    content = {"user_id": "u", "item_id": "i", "timestamp": 5_000, "geo": {"country": "FR"}}
    (event,) = converted(content, event_map)
    assert (event.timestamp, event.context) == (5.0, {"land": "FR"})
    (bare,) = converted({"user_id": "u", "item_id": "i", "context": {"x": [1]}}, event_map)
    assert bare.context is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        ({"item_id": "i"}, "user_id is missing"),
        ({"user_id": "u", "item_id": ""}, "item_id is missing"),
        ({"user_id": True, "item_id": "i"}, "user_id is bool"),
        ({"user_id": "u", "item_id": 1.5}, "item_id is float"),
        ({"user_id": "u" * 513, "item_id": "i"}, "513 bytes"),
        ({"user_id": "u", "item_id": "i", "timestamp": "yesterday"}, "timestamp"),
        ({"user_id": "u", "item_id": "i", "timestamp": NOW + 1e6}, "timestamp"),
        ({"user_id": "u", "item_id": "i", "value": "many"}, "value is 'many'"),
        ({"user_id": "u", "item_id": "i", "value": [1]}, "value"),
        ({"user_id": "u", "item_id": "i", "value": "inf"}, "value"),
        ({"user_id": "u", "item_id": "i", "context": 5}, "context"),
        ({"user_id": "\ud800", "item_id": "i"}, "JSON|Unicode"),
        (b'{"user_id": "' + b"u" * 1_000_000 + b'"}', "larger than"),
    ],
)
def test_what_is_no_event(value: Any, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        converted(value)


@pytest.mark.parametrize(
    ("event_map", "reason"),
    [
        ({"fields": {"user": "x"}}, "is no field of an event"),
        ({"fields": {"user_id": "a..b"}}, "is no path"),
        ({"fields": {"user_id": ""}}, "is no path"),
        ({"fields": {"user_id": "a[].b[]"}}, "is no path"),
        ({"fields": {"user_id": "a[].x", "item_id": "b[].x"}}, "must be of one list"),
        ({"time_unit": "h"}, "unit of times"),
        ({"format": "xml"}, "must be json or snowplow"),
        ({"field": {}}, "mapping is invalid"),
    ],
)
def test_wrong_mappings(event_map: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        mapper_of(event_map, "s")


def test_mappings_in_files(tmp_path: Path) -> None:
    toml, other = tmp_path / "map.toml", tmp_path / "map.json"
    toml.write_text('time_unit = "ms"\n[fields]\nuser_id = "who"\n')
    other.write_bytes(msgspec.json.encode({"fields": {"user_id": "who"}}))
    for path in (toml, other):
        mapper = mapper_of(str(path), "s", {"item_id": "what"})
        (event,) = mapper.events(message({"who": "u", "what": "i"}), NOW)
        assert (event.user_id, event.item_id) == ("u", "i")
    with pytest.raises(DataNotFound):
        mapper_of(str(tmp_path / "none.toml"), "s")
    with pytest.raises(InvalidInput, match="must be segment, snowplow"):
        mapper_of("other", "s")
    toml.write_text("=")
    with pytest.raises(InvalidInput, match="cannot be read"):
        mapper_of(str(toml), "s")


def track(event: str, properties: dict[str, Any]) -> Message:
    return message(
        {
            "type": "track",
            "event": event,
            "messageId": "m",
            "anonymousId": "anon",
            "userId": None,
            "timestamp": "2023-01-01T00:00:00.000Z",
            "context": {"page": {"path": "/p"}, "library": {"name": "js"}},
            "properties": properties,
        }
    )


def test_segment() -> None:
    mapper = mapper_of("segment", "s")
    (viewed,) = mapper.events(track("Product Viewed", {"product_id": "p", "price": 3}), NOW)
    assert viewed == Event(
        user_id="anon",
        item_id="p",
        timestamp=1_672_531_200.0,
        event_id="m",
        context={"page": "/p"},
    )
    bought = mapper.events(
        track("Order Completed", {"products": [{"product_id": "p"}, {"sku": "q"}]}), NOW
    )
    assert [(one.item_id, one.event, one.event_id) for one in bought] == [
        ("p", "purchase", "m/0"),
        ("q", "purchase", "m/1"),
    ]
    (rated,) = mapper.events(track("Product Reviewed", {"product_id": "p", "rating": "4"}), NOW)
    assert (rated.event, rated.value) == ("rating", 4.0)
    assert mapper.events(track("Signed Up", {}), NOW) == []
    with pytest.raises(InvalidInput, match="item_id is missing"):
        mapper.events(track("Product Viewed", {}), NOW)


def enriched(kind: str | None, products: list[str]) -> bytes:
    fields = [""] * 131
    fields[5], fields[6], fields[15] = "unstruct", "e", "cookie"
    fields[3], fields[123] = "2023-01-01 00:00:00.000", "session"
    ecommerce = "iglu:com.snowplowanalytics.snowplow.ecommerce"
    contexts = [
        {"schema": f"{ecommerce}/product/jsonschema/1-0-0", "data": {"id": name}}
        for name in products
    ]
    fields[52] = json.dumps({"schema": "iglu:x/contexts/jsonschema/1-0-0", "data": contexts})
    if kind is not None:
        action = {
            "schema": f"{ecommerce}/snowplow_ecommerce_action/jsonschema/1-0-2",
            "data": {"type": kind},
        }
        fields[58] = json.dumps(
            {"schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data": action}
        )
    return "\t".join(fields).encode()


def test_snowplow() -> None:
    mapper = mapper_of("snowplow", "s")
    found = mapper.events(message(enriched("transaction", ["p", "q"])), NOW)
    assert [(one.item_id, one.event, one.event_id) for one in found] == [
        ("p", "purchase", "e/0"),
        ("q", "purchase", "e/1"),
    ]
    assert (found[0].user_id, found[0].session_id) == ("cookie", "session")
    assert found[0].timestamp == 1_672_531_200.0
    assert mapper.events(message(enriched(None, ["p"])), NOW) == []
    with pytest.raises(InvalidInput, match="3 fields"):
        mapper.events(message(b"a\tb\tc"), NOW)
    broken = enriched("product_view", ["p"]).replace(b"jsonschema", b"")
    with pytest.raises(InvalidInput, match="Iglu"):
        mapper.events(message(broken), NOW)
    with pytest.raises(InvalidInput, match="enriched"):
        mapper.events(message(enriched("product_view", ["p"]).replace(b'"data"', b'"d"')), NOW)


def test_snowplow_as_json() -> None:
    content = {
        "user_id": "u",
        "event_id": "e",
        "collector_tstamp": "2023-01-01T00:00:00.000Z",
        "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1": {
            "type": "product_view"
        },
        "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [{"id": "p"}],
    }
    (event,) = mapper_of("snowplow", "s").events(message(content), NOW)
    assert (event.user_id, event.item_id, event.event) == ("u", "p", "view")
