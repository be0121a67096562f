"""Immutable values that the layers exchange, and their validation; no input or output."""

from importlib import import_module
from typing import TYPE_CHECKING

from nearline.schema.answers import (
    RERANKED,
    Answer,
    CritiqueOut,
    Explanation,
    Part,
    PastEvent,
    Recommendation,
    RecommendationList,
    ScoredItem,
    ScoredList,
    UserSummary,
)
from nearline.schema.fields import RequestField, Shape, request_fields
from nearline.schema.item_options import (
    DEFAULT_K,
    BoostOptions,
    ExplainOptions,
    ItemOptions,
    RankOptions,
    SimilarOptions,
    check_boost_options,
    check_item_options,
)
from nearline.schema.records import (
    PROFILE_RECORDS,
    USER_RECORDS,
    AttributeValue,
    CatalogueRecord,
    Critique,
    CritiqueRevoked,
    Defined,
    DefinitionRecord,
    Erased,
    Event,
    Item,
    ItemDeleted,
    ItemPatched,
    ItemsShown,
    ProfileRecord,
    Record,
    Scalar,
    Undefined,
    UserPatched,
    UserPut,
    UserRecord,
)
from nearline.schema.requests import (
    ListOptions,
    RecommendationRequest,
    check_options,
    make_options,
    narrowed,
)
from nearline.schema.rules import (
    MAX_ID_BYTES,
    MAX_K,
    check_context,
    check_event,
    check_id,
    check_item,
    check_k,
    check_preferences,
    make_record,
    new_event,
    new_item,
)
from nearline.schema.times import DAY, parse_time

if TYPE_CHECKING:
    from nearline.schema.blocks import EventBlock, StoredBlock

__all__ = [
    "DAY",
    "DEFAULT_K",
    "MAX_ID_BYTES",
    "MAX_K",
    "PROFILE_RECORDS",
    "RERANKED",
    "USER_RECORDS",
    "Answer",
    "AttributeValue",
    "BoostOptions",
    "CatalogueRecord",
    "Critique",
    "CritiqueOut",
    "CritiqueRevoked",
    "Defined",
    "DefinitionRecord",
    "Erased",
    "Event",
    "EventBlock",
    "ExplainOptions",
    "Explanation",
    "Item",
    "ItemDeleted",
    "ItemOptions",
    "ItemPatched",
    "ItemsShown",
    "ListOptions",
    "Part",
    "PastEvent",
    "ProfileRecord",
    "RankOptions",
    "Recommendation",
    "RecommendationList",
    "RecommendationRequest",
    "Record",
    "RequestField",
    "Scalar",
    "ScoredItem",
    "ScoredList",
    "Shape",
    "SimilarOptions",
    "StoredBlock",
    "Undefined",
    "UserPatched",
    "UserPut",
    "UserRecord",
    "UserSummary",
    "check_boost_options",
    "check_context",
    "check_event",
    "check_id",
    "check_item",
    "check_item_options",
    "check_k",
    "check_options",
    "check_preferences",
    "make_options",
    "make_record",
    "narrowed",
    "new_event",
    "new_item",
    "parse_time",
    "request_fields",
]


def __getattr__(name: str) -> object:
    # Blocks need Arrow, which is slow to import: `nearline recommend --help` does without.
    if name not in ("EventBlock", "StoredBlock"):
        raise AttributeError(f"module 'nearline.schema' has no attribute {name!r}")
    return getattr(import_module("nearline.schema.blocks"), name)
