"""Frozen values that pass between rooms: no I/O, unknown fields refused."""

from nearline.schema.answers import Answer, Explanation, Part, Recommendation, ScoredItem
from nearline.schema.records import (
    CatalogueRecord,
    Erased,
    Event,
    Item,
    ItemDeleted,
    Record,
)
from nearline.schema.rules import (
    DAY,
    MAX_ID_BYTES,
    MAX_K,
    check_event,
    check_id,
    check_item,
    check_k,
    parse_time,
)

__all__ = [
    "DAY",
    "MAX_ID_BYTES",
    "MAX_K",
    "Answer",
    "CatalogueRecord",
    "Erased",
    "Event",
    "Explanation",
    "Item",
    "ItemDeleted",
    "Part",
    "Recommendation",
    "Record",
    "ScoredItem",
    "check_event",
    "check_id",
    "check_item",
    "check_k",
    "parse_time",
]
