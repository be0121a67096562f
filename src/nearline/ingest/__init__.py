"""Writes to the log, imports of tables, and the connection from the log to the state."""

from nearline.ingest.definitions import (
    checked_definition,
    copy_definitions,
    define,
    definition,
    definitions,
    start_with,
    undefine,
)
from nearline.ingest.follow import follow, replay
from nearline.ingest.imports import import_interactions, import_items, import_users
from nearline.ingest.record import forget_examples, keep_summary, kept_summaries
from nearline.ingest.writes import (
    append_event,
    append_events,
    delete_item,
    patch_item,
    patched,
    put_items,
)

__all__ = [
    "append_event",
    "append_events",
    "checked_definition",
    "copy_definitions",
    "define",
    "definition",
    "definitions",
    "delete_item",
    "follow",
    "forget_examples",
    "import_interactions",
    "import_items",
    "import_users",
    "keep_summary",
    "kept_summaries",
    "patch_item",
    "patched",
    "put_items",
    "replay",
    "start_with",
    "undefine",
]
