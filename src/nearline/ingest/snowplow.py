"""Enriched events of Snowplow: 131 fields separated by tabs, or JSON of an analytics SDK."""

import re
from typing import Any

import msgspec

from nearline.errors import InvalidInput

N_FIELDS = 131
# Positions of the fields that matter here.
_FIELDS = {
    "app_id": 0,
    "platform": 1,
    "collector_tstamp": 3,
    "dvce_created_tstamp": 4,
    "event": 5,
    "event_id": 6,
    "user_id": 12,
    "domain_userid": 15,
    "network_userid": 17,
    "geo_country": 18,
    "domain_sessionid": 123,
    "derived_tstamp": 124,
    "event_vendor": 125,
    "event_name": 126,
    "true_tstamp": 130,
}
_CONTEXTS, _UNSTRUCT, _DERIVED = 52, 58, 122
_TIMES = tuple(name for name in _FIELDS if name.endswith("_tstamp"))
_SCHEMA = re.compile(r"iglu:([\w.-]+)/([\w.-]+)/[\w-]+/(\d+)-")


def decode_enriched(value: bytes) -> Any:
    """Return an enriched event as an object, with names as in the analytics SDKs.

    Raises
    ------
    InvalidInput
        The message is neither JSON nor a line of 131 fields.
    """
    try:
        if value[:1] == b"{":
            content = msgspec.json.decode(value)
            return _with_times(content) if isinstance(content, dict) else content
        fields = value.decode().split("\t")
        if len(fields) != N_FIELDS:
            raise InvalidInput(
                f"the message has {len(fields)} fields separated by tabs; enriched events of "
                f"Snowplow have {N_FIELDS}"
            )
        event: dict[str, Any] = {
            name: fields[at] for name, at in _FIELDS.items() if fields[at] != ""
        }
        for at in (_CONTEXTS, _DERIVED):
            for entry in _data(fields[at]) or ():
                event.setdefault("contexts_" + _name(entry["schema"]), []).append(entry["data"])
        action = _data(fields[_UNSTRUCT])
        if action is not None:
            event["unstruct_event_" + _name(action["schema"])] = action["data"]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the message is no enriched event: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise InvalidInput(
            "the message is no enriched event: a context lacks its schema or its data"
        ) from None
    return _with_times(event)


def _with_times(event: dict[str, Any]) -> dict[str, Any]:
    """Write times, which are UTC with a space and without a zone, as RFC 3339."""
    for name in _TIMES:
        text = event.get(name)
        if isinstance(text, str) and text and not text.endswith("Z"):
            event[name] = text.replace(" ", "T") + "Z"
    return event


def _data(text: str) -> Any:
    return msgspec.json.decode(text.encode())["data"] if text else None


def _name(schema: str) -> str:
    """Return the name of a schema as in the SDKs, such as ``com_acme_order_line_1``."""
    found = _SCHEMA.match(schema)
    if found is None:
        raise InvalidInput(f"the schema {schema!r:.100} of a context is no Iglu schema")
    vendor, name, version = found.groups()
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return f"{vendor.replace('.', '_')}_{snake}_{version}"
