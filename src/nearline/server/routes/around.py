"""Routes around items: search, popular and trending items, audiences, and listings."""

import asyncio
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import PathParameter, QueryParameter

from nearline.recommend.trend import MAX_DAYS
from nearline.schema.answers import ItemPage, ItemTrend, UserPage
from nearline.schema.questions import (
    AudienceRequest,
    CountedRequest,
    ItemsRequest,
    SearchRequest,
    UsersRequest,
)
from nearline.server.bodies import Audience, CountedItems, ScoredItems
from nearline.server.context import engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id
from nearline.server.queries import READER, QueryReader
from nearline.server.security import PUBLIC, SCOPE

ItemId = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_COUNTED = QueryReader(CountedRequest, without=())
_SEARCH = QueryReader(SearchRequest, without=())
_AUDIENCE = QueryReader(AudienceRequest, without=())
_ITEMS = QueryReader(ItemsRequest, without=())
_USERS = QueryReader(UsersRequest, without=())


@get("/items/{item_id:str}/trend", tags=["items"], opt={SCOPE: "read"})
async def item_trend(
    request: StrictRequest,
    item_id: ItemId,
    days: Annotated[
        int, QueryParameter(description="Number of days, 1 to 366.", ge=1, le=MAX_DAYS)
    ] = 30,
) -> ItemTrend:
    """Return the number of events on an item in each of the last days, in UTC."""
    engine, item = engine_of(request), path_id(item_id, "item_id")
    return await asyncio.to_thread(engine.trend, item, days)


@get(
    "/popular",
    tags=["items"],
    opt={SCOPE: "read", PUBLIC: True, READER: _COUNTED},
    operation_class=_COUNTED.operation(),
)
async def popular_items(request: StrictRequest) -> CountedItems:
    """Return the items with the most events, first those popular in the context."""
    options = msgspec.structs.asdict(_COUNTED.read(request))
    return CountedItems(items=engine_of(request).popular(**options))


@get(
    "/trending",
    tags=["items"],
    opt={SCOPE: "read", PUBLIC: True, READER: _COUNTED},
    operation_class=_COUNTED.operation(),
)
async def trending_items(request: StrictRequest) -> CountedItems:
    """Return the items with the most events lately, then popular ones."""
    options = msgspec.structs.asdict(_COUNTED.read(request))
    return CountedItems(items=engine_of(request).trending(**options))


@get(
    "/search",
    tags=["items"],
    opt={SCOPE: "read", PUBLIC: True, READER: _SEARCH},
    operation_class=_SEARCH.operation(),
)
async def search_items(request: StrictRequest) -> ScoredItems:
    """Return the items that match a text: by words, by the beginning of the last, by meaning."""
    engine = engine_of(request)
    question = _SEARCH.read(request)
    if engine.searches_fast:
        return ScoredItems.of(engine.found(question))
    # In a thread: the first search reads the catalogue, and an encoder takes milliseconds.
    return ScoredItems.of(await asyncio.to_thread(engine.found, question))


@get(
    "/items/{item_id:str}/audience",
    tags=["items"],
    opt={SCOPE: "privacy", READER: _AUDIENCE},
    operation_class=_AUDIENCE.operation(),
)
async def item_audience(request: StrictRequest, item_id: ItemId) -> Audience:
    """Return the users who would like an item most, best first."""
    engine = engine_of(request)
    options = msgspec.structs.asdict(_AUDIENCE.read(request))
    item_id = path_id(item_id, "item_id")
    return Audience(users=await asyncio.to_thread(engine.audience, item_id, **options))


@get(
    "/items",
    tags=["items"],
    opt={SCOPE: "read", READER: _ITEMS},
    operation_class=_ITEMS.operation(),
)
async def list_items(request: StrictRequest) -> ItemPage:
    """Return a page of the items, in alphabetical order of their IDs."""
    return await asyncio.to_thread(engine_of(request).item_page, _ITEMS.read(request))


@get(
    "/users",
    tags=["users"],
    opt={SCOPE: "privacy", READER: _USERS},
    operation_class=_USERS.operation(),
)
async def list_users(request: StrictRequest) -> UserPage:
    """Return a page of the users, in alphabetical order of their IDs."""
    return await asyncio.to_thread(engine_of(request).user_page, _USERS.read(request))
