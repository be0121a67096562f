"""The list for a request that has no time left: what is popular, without the model."""

from nearline.engine import Recommender
from nearline.errors import UnknownUser
from nearline.schema import Answer, RecommendationRequest


def degraded_answer(engine: Recommender, request: RecommendationRequest) -> Answer:
    """Answer as for someone without a history; what is excluded stays excluded.

    Items of the history are left out where the request says so, and those that the user turned
    down always.
    """
    if request.history is not None:
        out = request.history if request.exclude_seen else ()
    else:
        out = _excluded_by_history(engine, request)
    return engine.answer(
        RecommendationRequest(
            user_id=request.user_id,
            history=(),
            k=request.k,
            category=request.category,
            exclude=(*request.exclude, *out),
            explain=request.explain,
            context=request.context,
            preferences=request.preferences,
        )
    )


def _excluded_by_history(engine: Recommender, request: RecommendationRequest) -> tuple[str, ...]:
    if request.user_id is None:
        return ()
    try:
        history = engine.user(request.user_id).history
    except UnknownUser:
        return ()
    return tuple(past.item_id for past in history if request.exclude_seen or past.weight < 0)
