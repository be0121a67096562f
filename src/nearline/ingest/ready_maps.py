"""Maps for events of common trackers, and reading of maps from files."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nearline.errors import DataNotFound, InvalidInput
from nearline.ingest.event_maps import EventMap, Mapper, SeveralMaps

# Segment's specification of e-commerce events, as its Kafka destination and warehouses have them.
_SEGMENT = {
    "user_id": "userId|anonymousId",
    "event_id": "messageId",
    "timestamp": "timestamp|originalTimestamp|receivedAt",
    "session_id": "context.sessionId",
    "context.page": "context.page.path",
}
_SEGMENT_PRODUCT = {
    "Product Clicked": "click",
    "Product Viewed": "view",
    "Product Added": "cart",
    "Product Removed": "remove",
    "Product Added to Wishlist": "save",
    "Product Removed from Wishlist": "remove",
    "Product Shared": "share",
}
_SEGMENT_ORDER = {"Order Completed": "purchase", "Order Refunded": "refund"}
# Snowplow's e-commerce schemas.
_SNOWPLOW_PRODUCT = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1[]"
_SNOWPLOW = {
    "user_id": "user_id|domain_userid|network_userid",
    "item_id": f"{_SNOWPLOW_PRODUCT}.id",
    "event": "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_"
    "snowplow_ecommerce_action_1.type",
    "event_id": "event_id",
    "timestamp": "true_tstamp|derived_tstamp|collector_tstamp",
    "session_id": "domain_sessionid",
    "context.country": "geo_country",
}
_SNOWPLOW_KINDS = {
    "product_view": "view",
    "list_click": "click",
    "add_to_cart": "cart",
    "remove_from_cart": "remove",
    "transaction": "purchase",
    "refund": "refund",
}

READY: dict[str, tuple[EventMap, ...]] = {
    "segment": (
        EventMap(
            fields=_SEGMENT | {"item_id": "properties.product_id|properties.sku"},
            kinds=_SEGMENT_PRODUCT,
        ),
        EventMap(
            fields=_SEGMENT
            | {"item_id": "properties.products[].product_id|properties.products[].sku"},
            kinds=_SEGMENT_ORDER,
        ),
        EventMap(
            fields=_SEGMENT | {"item_id": "properties.product_id", "value": "properties.rating"},
            kinds={"Product Reviewed": "rating"},
        ),
    ),
    "snowplow": (EventMap(fields=_SNOWPLOW, kinds=_SNOWPLOW_KINDS, format="snowplow", event=""),),
}


def mapper_of(
    mapping: "str | EventMap | Mapping[str, Any] | None",
    source: str,
    fields: Mapping[str, str] | None = None,
) -> Mapper | SeveralMaps:
    """Return what converts the messages of a source.

    Parameters
    ----------
    mapping : str, EventMap, mapping or None
        ``segment``, ``snowplow``, a TOML or JSON file with the fields of `EventMap`, or these; None
        for events with the names of this package.
    source : str
        Name of the source, for the IDs of events that have none.
    fields : mapping or None
        Paths that replace those of the mapping.

    Raises
    ------
    InvalidInput, DataNotFound
        The mapping is invalid; there is no such file.
    """
    maps = _maps(mapping)
    if fields:
        maps = [msgspec.structs.replace(one, fields={**one.fields, **fields}) for one in maps]
    return Mapper(maps[0], source) if len(maps) == 1 else SeveralMaps(maps, source)


def _maps(mapping: "str | EventMap | Mapping[str, Any] | None") -> list[EventMap]:
    if mapping is None:
        return [EventMap()]
    if isinstance(mapping, EventMap):
        return [mapping]
    if isinstance(mapping, str):
        if mapping in READY:
            return list(READY[mapping])
        mapping = _read(Path(mapping))
    try:
        return [msgspec.convert(mapping, EventMap)]
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the mapping is invalid: {error}", field="mapping") from None


def _read(path: Path) -> Any:
    if path.suffix not in (".toml", ".json"):
        raise InvalidInput(
            f"the mapping is {str(path)!r:.200}; it must be {', '.join(READY)}, or a .toml or "
            ".json file",
            field="mapping",
        )
    try:
        text = path.read_bytes()
        return tomllib.loads(text.decode()) if path.suffix == ".toml" else msgspec.json.decode(text)
    except FileNotFoundError:
        raise DataNotFound(f"there is no mapping {path}; name an existing file") from None
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the mapping {path} cannot be read: {error}", field="mapping") from None
