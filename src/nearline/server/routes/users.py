"""Routes for users: their history, and its erasure."""

from typing import Annotated

from litestar import delete, get
from litestar.params import PathParameter

from nearline.schema import UserSummary
from nearline.server.bodies import Forgotten
from nearline.server.context import app_context, durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id

UserId = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]


@get("/users/{user_id:str}", tags=["users"])
async def get_user(request: StrictRequest, user_id: UserId) -> UserSummary:
    """Return the history that recommendations for the user are based on, most recent first."""
    return engine_of(request).user(path_id(user_id, "user_id"))


@delete("/users/{user_id:str}", status_code=200, tags=["users"])
async def forget_user(request: StrictRequest, user_id: UserId) -> Forgotten:
    """Erase all events of a user; for an unknown user the count is 0."""
    app = app_context(request)
    engine = app.host.engine
    user_id = path_id(user_id, "user_id")
    erased = await durable(lambda: engine.forget(user_id), slow=True)
    app.cache.drop_stale()
    app.preloader.forget(user_id)
    return Forgotten(erased=erased)
