"""Constraints of the OpenAPI document that the types of the bodies do not express.

With them, the document allows what the server accepts. JSON Schema cannot express that IDs have at
most 512 bytes (it counts characters), that times are at most one day ahead, and that vectors are
not all zero.
"""

from typing import Any

from nearline.schema.arguments import MAX_SEED
from nearline.schema.rules import (
    MAX_ABSOLUTE_NUMBER,
    MAX_CONTEXT_FIELDS,
    MAX_ID_BYTES,
    MAX_LABEL_BYTES,
    MAX_LABELS,
    MAX_PREFERENCES_CHARS,
    MAX_TEXT_CHARS,
    MAX_VECTOR_LENGTH,
    MAX_VECTORS,
)
from nearline.schema.times import LAST_TIME
from nearline.server.bodies import FIRST_TIME
from nearline.server.limits import Limits

Schema = dict[str, Any]

BODIES = (
    *("EventIn", "ItemIn", "ItemChanges", "SessionIn", "BatchIn", "PreloadIn", "RankIn", "JobIn"),
)
# A definition has further conditions, such as exactly one action of a rule.
DEFINITIONS = ("ScenarioIn", "RuleIn", "Pin", "Bury", "Scale")
ID: Schema = {"minLength": 1, "maxLength": MAX_ID_BYTES, "pattern": "^[^\\u0000]*$"}
TEXT: Schema = {"maxLength": MAX_TEXT_CHARS}
NUMBER: Schema = {"minimum": -MAX_ABSOLUTE_NUMBER, "maximum": MAX_ABSOLUTE_NUMBER}
IDS = ("user_id", "item_id", "event", "event_id", "session_id", "recommendation_id", "scenario")


def add_constraints(document: Schema, limits: Limits) -> None:
    """Add the constraints of bodies to an OpenAPI document, which is changed."""
    _allow_any(document)
    schemas = document["components"]["schemas"]
    for name in BODIES:
        schema = schemas[name]
        schema["additionalProperties"] = False
        for field, described in schema["properties"].items():
            _constrain(field, described, limits)
        # Numbers that are times of events before 1990 are probably in another unit.
        for part in schema["properties"].get("timestamp", {}).get("anyOf", ()):
            if part["type"] == "number":
                part["minimum"] = FIRST_TIME if name == "EventIn" else 0
    for name in DEFINITIONS:
        schemas[name]["additionalProperties"] = False
    for path in ("/v1/events", "/v1/items"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for part in (body["schema"], *body["schema"].get("anyOf", ())):
            if part.get("type") == "array":
                part["maxItems"] = limits.list_length
    items = document["paths"]["/v1/items"]["post"]["requestBody"]["content"]["application/json"]
    entry = items["schema"]["items"]
    items["schema"]["items"] = {"allOf": [entry], "required": ["item_id"]}


def _allow_any(schema: Any) -> None:
    """Replace ``oneOf``, which forbids values of several types, such as integers as numbers."""
    if isinstance(schema, list):
        for part in schema:
            _allow_any(part)
    elif isinstance(schema, dict):
        for part in schema.values():
            _allow_any(part)
        alternatives = schema.pop("oneOf", None)
        if isinstance(alternatives, list):
            if {"type": "number"} in alternatives:
                alternatives = [part for part in alternatives if part != {"type": "integer"}]
            if len(alternatives) == 1:
                schema.update(alternatives[0])
            else:
                schema["anyOf"] = alternatives


def _constrain(field: str, schema: Schema, limits: Limits) -> None:
    lists = {
        "history": limits.history_length,
        "exclude": limits.exclude_length,
        "user_ids": limits.preload_length,
        "item_ids": limits.rank_length,
    }
    for part in (schema, *schema.get("anyOf", ())):
        kind = part.get("type")
        if kind == "string" and field in IDS:
            part.update(ID)
        elif kind == "string" and field in ("text", "title", "category"):
            part.update(TEXT)
        elif kind == "string" and field == "preferences":
            part["maxLength"] = MAX_PREFERENCES_CHARS
        elif kind == "string" and field in ("timestamp", "expires_at"):
            part["format"] = "date-time"
        elif kind == "number" and field == "expires_at":
            part.update({"minimum": 0, "maximum": LAST_TIME})
        elif kind == "number" and field != "timestamp":
            part.update(NUMBER)
        elif kind == "integer" and field == "seed":
            part.update({"minimum": 0, "maximum": MAX_SEED})
        elif kind == "array" and field in lists:
            part["maxItems"] = lists[field]
            part["items"].update(ID)
        elif kind == "array" and field == "categories":
            part["maxItems"] = MAX_LABELS
            part["items"].update(ID)
        elif kind == "object" and field in ("context", "attributes", "vectors"):
            _constrain_mapping(field, part)


def _constrain_mapping(field: str, schema: Schema) -> None:
    schema["propertyNames"] = dict(ID)
    values = schema["additionalProperties"]
    if field == "vectors":
        values.update({"minItems": 1, "maxItems": MAX_VECTOR_LENGTH})
        values["items"].update(NUMBER)
        schema["maxProperties"] = MAX_VECTORS
        return
    schema["maxProperties"] = MAX_CONTEXT_FIELDS if field == "context" else MAX_LABELS
    most = MAX_LABEL_BYTES if field == "context" else MAX_TEXT_CHARS
    for part in values.get("anyOf", ()):
        if part.get("type") == "array":
            part["maxItems"] = MAX_LABELS
        for scalar in (part, *part.get("items", {}).get("anyOf", ())):
            if scalar.get("type") == "string":
                scalar["maxLength"] = most
            elif scalar.get("type") == "number":
                scalar.update(NUMBER)
