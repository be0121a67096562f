"""Computation of one list, common to the routes of lists and the middleware for plain lists."""

from nearline.recommend.frequency import uses_showings
from nearline.schema import RERANKED, Answer, RecommendationRequest, narrowed
from nearline.server.bodies import TimedRequest
from nearline.server.context import AppContext
from nearline.server.decoding import at_most
from nearline.server.exchange import CachePolicy, Exchange

# Tiers of lines that depend only on a history, not on counts that decay with time. A pin ends with
# the period of the stamp.
_LASTING = frozenset({"personal", "session", "pinned", "personal" + RERANKED, "session" + RERANKED})


async def answer_list(app: AppContext, exchange: Exchange, timed: TimedRequest) -> Answer:
    """Compute an answer in the queue, and set its cache policy.

    Under overload, a request with a deadline gets a list that is fast to compute, and others are
    refused.

    An answer is cached if only a new record or another model can change it, not time alone.
    """
    deadline_ms = timed.deadline_ms
    at_most(len(timed.exclude), app.limits.exclude_length, "exclude")
    at_most(len(timed.history or ()), app.limits.history_length, "history")
    question = narrowed(timed, RecommendationRequest)
    queue = app.compute_queue
    if queue.is_too_long(exchange.start, deadline_ms):
        if deadline_ms is None:
            raise queue.refusal()
        app.metrics.degraded()
        return app.host.engine.answer(question, late=True)
    async with queue:
        engine = app.host.engine
        if queue.too_late(exchange.start, deadline_ms):
            app.metrics.degraded()
            return engine.answer(question, late=True)
        if queue.has_waited_too_long(exchange.start, deadline_ms):
            raise queue.refusal()
        stamp = engine.stamp
        left = queue.seconds_left(exchange.start, deadline_ms)
        draft = engine.draft(question, left)
    # Outside the queue: other requests are computed while this one waits for a language model.
    answer = await draft.arrived()
    served = engine.served_list(question, answer)
    if not exchange.ahead:
        engine.serve(served)
    reranked = answer.tier.endswith(RERANKED)
    if question.rerank and not reranked and engine.language.model is not None:
        return answer  # not cached: the next request asks the language model again
    # Lines of lower tiers change with time, and a cache key does not include the body.
    user_id = None if question.history is not None else question.user_id
    lasting = all(line.tier in _LASTING for line in answer.items)
    if user_id is not None and lasting and (engine.expires(user_id) or engine.uses_time(question)):
        return answer
    if uses_showings(question if question.scenario is None else engine.resolved(question)):
        return answer  # depends on impressions, which are not in the stamp
    if question.explore is not None:
        return answer  # its window is not in the stamp
    if stamp is not None and user_id is not None and answer.items and lasting:
        exchange.cache_policy = CachePolicy(stamp, None if reranked else user_id, served)
    return answer
