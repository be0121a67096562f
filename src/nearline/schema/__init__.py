"""Frozen values that pass between rooms: no I/O, unknown fields refused."""

from nearline.schema.answers import (
    RERANKED,
    Answer,
    Explanation,
    Part,
    PastEvent,
    Recommendation,
    ScoredItem,
    UserSummary,
)
from nearline.schema.blocks import EventBlock, StoredBlock
from nearline.schema.records import (
    CatalogueRecord,
    Erased,
    Event,
    Item,
    ItemDeleted,
    Record,
)
from nearline.schema.requests import RecommendationRequest
from nearline.schema.rules import (
    DAY,
    MAX_ID_BYTES,
    MAX_K,
    check_event,
    check_id,
    check_item,
    check_k,
    make_record,
    new_event,
    new_item,
    parse_time,
)

__all__ = [
    "DAY",
    "MAX_ID_BYTES",
    "MAX_K",
    "RERANKED",
    "Answer",
    "CatalogueRecord",
    "Erased",
    "Event",
    "EventBlock",
    "Explanation",
    "Item",
    "ItemDeleted",
    "Part",
    "PastEvent",
    "Recommendation",
    "RecommendationRequest",
    "Record",
    "ScoredItem",
    "StoredBlock",
    "UserSummary",
    "check_event",
    "check_id",
    "check_item",
    "check_k",
    "make_record",
    "new_event",
    "new_item",
    "parse_time",
]
