"""Routes for lists, ranking and explanations."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.schema import (
    Answer,
    ExplainOptions,
    Explanation,
    RankOptions,
    check_id,
    check_k,
    narrowed,
)
from nearline.server.batches import answer_batch
from nearline.server.bodies import (
    BatchIn,
    BatchOut,
    PreloadIn,
    Preloading,
    RankIn,
    ScoredItems,
    SessionIn,
    TimedRequest,
)
from nearline.server.context import app_context, engine_of
from nearline.server.decoding import StrictRequest, at_most, convert_each
from nearline.server.exchange import exchange_of
from nearline.server.list_reads import answer_list
from nearline.server.paths import path_id
from nearline.server.queries import READER, QueryReader
from nearline.server.security import PUBLIC, SCOPE, as_asked

IdInPath = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_QUERY = QueryReader(TimedRequest, without=("user_id", "history"))
_EXPLAIN = QueryReader(ExplainOptions, without=())
_SESSION = [Example(summary="a session", value={"history": ["i3", "i9"], "k": 5})]
_BATCH = [Example(summary="two users", value={"user_ids": ["u1", "u2"], "k": 5})]
_PRELOAD = [Example(summary="two users", value={"user_ids": ["u1", "u2"]})]
_RANK = [Example(summary="three items", value={"user_id": "u1", "item_ids": ["i1", "i2", "i3"]})]


@get(
    "/users/{user_id:str}/recommendations",
    tags=["recommendations"],
    opt={SCOPE: "read", PUBLIC: True, READER: _QUERY},
    operation_class=_QUERY.operation(),
)
async def recommend(request: StrictRequest, user_id: IdInPath) -> Answer:
    """Return a list for a user, known or not; `tier` says how it was made.

    It ends in `+llm` if a language model reordered the top of the list.
    """
    timed = _QUERY.read(request, user_id=path_id(user_id, "user_id"))
    return await answer_list(app_context(request), exchange_of(request.scope), timed)


@post("/recommendations", status_code=200, tags=["recommendations"], opt={SCOPE: "read"})
async def recommend_session(
    request: StrictRequest,
    data: Annotated[
        SessionIn, Body(description="A history, and the options of the list.", examples=_SESSION)
    ],
) -> Answer:
    """Return a list for a session, from the items of its history.

    Its `tier` ends in `+llm` if a language model reordered the top of the list.
    """
    return await answer_list(
        app_context(request), exchange_of(request.scope), as_asked(request, data)
    )


@post("/recommendations:batch", status_code=200, tags=["recommendations"], opt={SCOPE: "read"})
async def recommend_batch(
    request: StrictRequest,
    data: Annotated[
        BatchIn, Body(description="Users, and the options of the lists.", examples=_BATCH)
    ],
) -> Response[BatchOut]:
    """Return the lists of many users, each equal to the answer of a request for that user."""
    app = app_context(request)
    data = app.host.engine.resolved(as_asked(request, data))
    k = check_k(data.k)
    at_most(len(data.exclude), app.limits.exclude_length, "exclude")
    at_most(len(data.user_ids), app.limits.batch_lines // k, "user_ids")
    # In a thread, so that other requests continue.
    async with app.batches:
        app.large_answers.check()
        give_way = app.batches.give_way
        body = await asyncio.to_thread(answer_batch, app.host.engine, data, give_way)
    encoded: Any = body  # a `BatchOut`, encoded
    return Response(encoded, media_type="application/json")


@post("/preload", status_code=202, tags=["recommendations"], opt={SCOPE: "read"})
async def preload(
    request: StrictRequest,
    data: Annotated[PreloadIn, Body(description="Users, most urgent first.", examples=_PRELOAD)],
) -> Preloading:
    """Compute the lists of these users in advance, in the order given, when the server is idle."""
    app = app_context(request)
    at_most(len(data.user_ids), app.limits.preload_length, "user_ids")
    user_ids = convert_each(data.user_ids, lambda user_id: check_id(user_id, "user_ids"))
    app.preloader.expect(reversed(user_ids))
    return Preloading(accepted=len(user_ids))


@post("/rank", status_code=200, tags=["recommendations"], opt={SCOPE: "read"})
async def rank(
    request: StrictRequest,
    data: Annotated[RankIn, Body(description="A user, and the items to rank.", examples=_RANK)],
) -> ScoredItems:
    """Rank the given items for a user, best first."""
    app = app_context(request)
    at_most(len(data.item_ids), app.limits.rank_length, "item_ids")
    options = msgspec.structs.asdict(narrowed(as_asked(request, data), RankOptions))
    return ScoredItems.of(app.host.engine.rank(data.user_id, data.item_ids, **options))


@get(
    "/users/{user_id:str}/explanations/{item_id:str}",
    tags=["recommendations"],
    opt={SCOPE: "read", PUBLIC: True, READER: _EXPLAIN},
    operation_class=_EXPLAIN.operation(),
)
async def explain(request: StrictRequest, user_id: IdInPath, item_id: IdInPath) -> Explanation:
    """Explain the score of an item for a user by its parts, which sum to the score.

    With `words=true`, the answer also contains `words`, a sentence about the largest parts, and
    `worded_by`: `llm` if a language model wrote the sentence, `template` otherwise.
    """
    options = _EXPLAIN.read(request)
    user_id, item_id = path_id(user_id, "user_id"), path_id(item_id, "item_id")
    return await engine_of(request).draft_explanation(user_id, item_id, options).arrived()
