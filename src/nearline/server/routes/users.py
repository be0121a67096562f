"""Routes for users: their attributes and history, and their erasure."""

import asyncio
from concurrent.futures import Future
from typing import Annotated

from litestar import delete, get, patch, put
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.log import Appended
from nearline.schema import UserSummary
from nearline.server.bodies import Forgotten, UserChanges, UserIn
from nearline.server.context import app_context, durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

UserId = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_USER = [
    Example(summary="a user", value={"attributes": {"age": 31, "country": "FR", "likes": ["tea"]}})
]
_CHANGE = [Example(summary="one attribute", value={"attributes": {"country": "DE"}})]


@get("/users/{user_id:str}", tags=["users"], opt={SCOPE: "privacy"})
async def get_user(request: StrictRequest, user_id: UserId) -> UserSummary:
    """Return the attributes of a user, and the history of recommendations, most recent first."""
    return engine_of(request).user(path_id(user_id, "user_id"))


@put("/users/{user_id:str}", status_code=200, tags=["users"], opt={SCOPE: "events"})
async def put_user(
    request: StrictRequest,
    user_id: UserId,
    data: Annotated[UserIn, Body(description="All attributes of the user.", examples=_USER)],
) -> Appended:
    """Store the attributes of a user, known or not; they replace the previous ones."""
    engine = engine_of(request)
    user_id = path_id(user_id, "user_id")
    return await durable(lambda: engine.store_user(user_id, data.attributes))


@patch("/users/{user_id:str}", tags=["users"], opt={SCOPE: "events"})
async def change_user(
    request: StrictRequest,
    user_id: UserId,
    data: Annotated[UserChanges, Body(description="The attributes to change.", examples=_CHANGE)],
) -> Appended:
    """Change some attributes of a user; null removes one, and others keep their values."""
    engine = engine_of(request)
    user_id = path_id(user_id, "user_id")
    # Waits for the disk, so it must not run in the event loop.
    return await asyncio.to_thread(engine.change_user, user_id, data.attributes)


@delete("/users/{user_id:str}", status_code=200, tags=["users"], opt={SCOPE: "privacy"})
async def forget_user(request: StrictRequest, user_id: UserId) -> Forgotten:
    """Erase all records of a user, and return a receipt; the count is 0 if there are none."""
    app = app_context(request)
    engine = app.host.engine
    user_id = path_id(user_id, "user_id")
    lists = 0

    def erase() -> Future[int]:
        nonlocal lists
        lists, records = engine.erase(user_id)
        return records

    erased = await durable(erase, slow=True)
    app.cache.drop_stale()
    app.preloader.forget(user_id)
    receipt = await asyncio.to_thread(engine.erasure_receipt, user_id, erased, lists)
    return Forgotten(erased=erased, receipt=receipt)
