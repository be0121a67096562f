"""Routes for the catalogue and for similar items."""

import asyncio
from concurrent.futures import Future
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post, put
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.errors import InvalidInput
from nearline.log import Appended
from nearline.schema import SimilarOptions, check_item
from nearline.server.bodies import ItemChanges, ItemIn, ItemOut, ScoredItems
from nearline.server.context import app_context, durable, engine_of
from nearline.server.decoding import StrictRequest, at_most, convert_each
from nearline.server.paths import path_id
from nearline.server.queries import READER, QueryReader
from nearline.server.security import PUBLIC, SCOPE

ItemId = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_SIMILAR = QueryReader(SimilarOptions, without=())
_ENTRY: dict[str, object] = {
    "title": "Wooden train",
    "text": "Beech, twelve wagons, from three years on",
    "categories": ["toys"],
    "attributes": {"price": 24.9, "colours": ["red", "blue"]},
}
_ONE = [Example(summary="an entry", value=_ENTRY)]
_MANY = [Example(summary="a list", value=[{"item_id": "i77", **_ENTRY}])]
_CHANGE = [Example(summary="hide the item", value={"available": False})]


@get(
    "/items/{item_id:str}/similar",
    tags=["items"],
    opt={SCOPE: "read", PUBLIC: True, READER: _SIMILAR},
    operation_class=_SIMILAR.operation(),
)
async def similar_items(request: StrictRequest, item_id: ItemId) -> ScoredItems:
    """Return the items most similar to an item, best first."""
    options = msgspec.structs.asdict(_SIMILAR.read(request))
    return ScoredItems.of(engine_of(request).similar(path_id(item_id, "item_id"), **options))


@post("/items", status_code=200, tags=["items"], opt={SCOPE: "items"})
async def put_items(
    request: StrictRequest,
    data: Annotated[
        list[ItemIn], Body(description="Catalogue entries, each with its item_id.", examples=_MANY)
    ],
) -> Appended:
    """Store catalogue entries atomically; each replaces the previous entry of its item."""
    app = app_context(request)
    engine = app.host.engine
    at_most(len(data), app.limits.list_length, "body")
    now = engine.now()

    def write() -> Future[Appended]:
        return engine.put_items(convert_each(data, lambda one: one.item_at(one.item_id, now)))

    return await durable(write, len(data), slow=engine.encodes)


@put("/items/{item_id:str}", status_code=200, tags=["items"], opt={SCOPE: "items"})
async def put_item(
    request: StrictRequest,
    item_id: ItemId,
    data: Annotated[ItemIn, Body(description="The complete entry.", examples=_ONE)],
) -> Appended:
    """Store a catalogue entry; it replaces the previous one and can be recommended immediately."""
    engine = engine_of(request)
    now = engine.now()
    item = check_item(data.item_at(path_id(item_id, "item_id"), now), now=now)
    if data.item_id not in (None, item.item_id):
        raise InvalidInput(
            f"item_id is {data.item_id!r:.100} in the body and differs from the path; "
            "omit it in the body",
            field="item_id",
        )
    return await durable(lambda: engine.put_items([item]), slow=engine.encodes)


@get("/items/{item_id:str}", tags=["items"], opt={SCOPE: "read", PUBLIC: True})
async def get_item(request: StrictRequest, item_id: ItemId) -> ItemOut:
    """Return the catalogue entry of an item."""
    item = engine_of(request).item(path_id(item_id, "item_id"))
    return ItemOut(**msgspec.structs.asdict(item))


@patch("/items/{item_id:str}", tags=["items"], opt={SCOPE: "items"})
async def change_item(
    request: StrictRequest,
    item_id: ItemId,
    data: Annotated[ItemChanges, Body(description="The fields to replace.", examples=_CHANGE)],
) -> Appended:
    """Replace some fields of a catalogue entry; ``available: false`` hides it immediately."""
    engine = engine_of(request)
    item_id = path_id(item_id, "item_id")
    changes = data.changes_at(engine.now())
    # Waits for the disk, so it must not run in the event loop.
    return await asyncio.to_thread(engine.patch_item, item_id, changes)


@delete("/items/{item_id:str}", status_code=200, tags=["items"], opt={SCOPE: "items"})
async def delete_item(request: StrictRequest, item_id: ItemId) -> Appended:
    """Delete an item; it is not recommended until it is stored again."""
    engine = engine_of(request)
    item_id = path_id(item_id, "item_id")
    return await durable(lambda: engine.delete_item(item_id))
