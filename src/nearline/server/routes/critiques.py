"""Routes for critiques: what users say about their lists."""

from concurrent.futures import Future
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.log import Appended
from nearline.server.bodies import Criticised, CritiqueIn, CritiquesOut
from nearline.server.context import durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

UserInPath = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]
CritiqueId = Annotated[str, PathParameter(description="ID of the critique.")]

_LESS = [Example(summary="less of a brand", value={"less_of": {"brand": "Acme"}, "lasting": True})]


@post("/users/{user_id:str}/critiques", status_code=200, tags=["users"], opt={SCOPE: "events"})
async def add_critique(
    request: StrictRequest,
    user_id: UserInPath,
    data: Annotated[CritiqueIn, Body(description="The critique.", examples=_LESS)],
) -> Criticised:
    """Store what a user says about a list; the next list follows it.

    The same critique has the same ID, and replaces the earlier one.
    """
    engine = engine_of(request)
    user_id = path_id(user_id, "user_id")
    fields = {"not" if name == "not_item" else name: value for name, value in _given(data).items()}
    critique_id = ""

    def write() -> Future[Appended]:
        nonlocal critique_id
        critique, stored = engine.add_critique(user_id, fields)
        critique_id = critique.critique_id
        return stored

    appended = await durable(write)
    return Criticised(critique_id=critique_id, offset=appended.offset)


@get("/users/{user_id:str}/critiques", tags=["users"], opt={SCOPE: "read"})
async def list_critiques(request: StrictRequest, user_id: UserInPath) -> CritiquesOut:
    """Return the critiques of a user that hold now, oldest first."""
    found = engine_of(request).critiques(path_id(user_id, "user_id"))
    return CritiquesOut(critiques=found)


@delete(
    "/users/{user_id:str}/critiques/{critique_id:str}",
    status_code=200,
    tags=["users"],
    opt={SCOPE: "events"},
)
async def revoke_critique(
    request: StrictRequest, user_id: UserInPath, critique_id: CritiqueId
) -> Appended:
    """Revoke a critique; lists are then as without it."""
    engine = engine_of(request)
    user_id, critique_id = path_id(user_id, "user_id"), path_id(critique_id, "critique_id")
    return await durable(lambda: engine.revoke_critique(user_id, critique_id))


def _given(data: CritiqueIn) -> dict[str, object]:
    return {
        name: value for name, value in msgspec.structs.asdict(data).items() if value is not None
    }
