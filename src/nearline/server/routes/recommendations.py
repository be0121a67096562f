"""Lists, orders and reasons."""

from typing import Annotated

from litestar import get, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from nearline.schema import MAX_K, Answer, Explanation, RecommendationRequest
from nearline.server.bodies import RankIn, ScoredItems, SessionIn
from nearline.server.decoding import StrictRequest, at_most
from nearline.server.paths import path_id
from nearline.server.room import engine_of, room_of

PartOfPath = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_SESSION = [Example(summary="a session", value={"history": ["i3", "i9"], "k": 5})]
_RANK = [Example(summary="three items", value={"user_id": "u1", "item_ids": ["i1", "i2", "i3"]})]


@get("/users/{user_id:str}/recommendations", tags=["recommendations"])
async def recommend(
    request: StrictRequest,
    user_id: PartOfPath,
    k: Annotated[int, QueryParameter(ge=1, le=MAX_K, description="Length of the list.")] = 10,
    exclude_seen: Annotated[
        bool, QueryParameter(description="Leave out items of the history.")
    ] = True,
    category: Annotated[
        str | None, QueryParameter(description="Only items with this label; empty for all.")
    ] = None,
    exclude: Annotated[
        list[str] | None, QueryParameter(description="An item to leave out; may be repeated.")
    ] = None,
    explain: Annotated[bool, QueryParameter(description="Give reasons for each line.")] = False,
) -> Answer:
    """Return a list for a user, known or not; `tier` says how it was made."""
    room = room_of(request)
    excluded = tuple(exclude or ())
    at_most(len(excluded), room.limits.exclude_length, "exclude")
    return room.host.engine.answer(
        RecommendationRequest(
            user_id=path_id(user_id, "user_id"),
            k=k,
            exclude_seen=exclude_seen,
            category=category or None,
            exclude=excluded,
            explain=explain,
        )
    )


@post("/recommendations", status_code=200, tags=["recommendations"])
async def recommend_session(
    request: StrictRequest,
    data: Annotated[SessionIn, Body(description="A history of item ids.", examples=_SESSION)],
) -> Answer:
    """Return a list for a session without an account, from the items it holds so far."""
    room = room_of(request)
    at_most(len(data.history), room.limits.history_length, "history")
    at_most(len(data.exclude), room.limits.exclude_length, "exclude")
    return room.host.engine.answer(
        RecommendationRequest(
            user_id=data.user_id,
            history=tuple(data.history),
            k=data.k,
            exclude_seen=data.exclude_seen,
            category=data.category or None,
            exclude=tuple(data.exclude),
            explain=data.explain,
        )
    )


@post("/rank", status_code=200, tags=["recommendations"])
async def rank(
    request: StrictRequest,
    data: Annotated[RankIn, Body(description="A user and items.", examples=_RANK)],
) -> ScoredItems:
    """Return exactly the given items, best first for the user."""
    room = room_of(request)
    at_most(len(data.item_ids), room.limits.rank_length, "item_ids")
    return ScoredItems(items=room.host.engine.rank(data.user_id, data.item_ids))


@get("/users/{user_id:str}/explanations/{item_id:str}", tags=["recommendations"])
async def explain(request: StrictRequest, user_id: PartOfPath, item_id: PartOfPath) -> Explanation:
    """Return the parts of an item's score for a user; they sum to it."""
    user_id, item_id = path_id(user_id, "user_id"), path_id(item_id, "item_id")
    return engine_of(request).explain(user_id, item_id)
