"""The order in which a request passes the middlewares."""

from collections.abc import Callable

from nearline.server.context import AppContext
from nearline.server.exchange import HTTPApp
from nearline.server.logs import JsonLog
from nearline.server.middleware.allowed_hosts import AllowedHosts
from nearline.server.middleware.api_keys import ApiKeys
from nearline.server.middleware.cached_answers import CachedAnswers
from nearline.server.middleware.canonical_paths import CanonicalPaths
from nearline.server.middleware.exchanges import Exchanges
from nearline.server.middleware.overload import OverloadProtection
from nearline.server.middleware.plain_events import PlainEvents
from nearline.server.middleware.problem_responses import ProblemResponses
from nearline.server.middleware.request_bodies import RequestBodies
from nearline.server.middleware.request_ids import RequestIds
from nearline.server.middleware.request_log import RequestLog


def answering(api: HTTPApp, context: AppContext) -> HTTPApp:
    """Wrap `api` in what computes a response: everything inside the cache."""
    counted = OverloadProtection(CanonicalPaths(PlainEvents(api, context)), context.traffic)
    return RequestBodies(counted, context.limits)


def receiving(
    cached: CachedAnswers,
    context: AppContext,
    *,
    api_key: str | None,
    allowed_hosts: frozenset[str] | None,
    log: JsonLog,
    new_request_id: Callable[[], str],
) -> HTTPApp:
    """Wrap `cached` in what every request passes, whether its answer is cached or not."""
    return Exchanges(
        ProblemResponses(AllowedHosts(ApiKeys(cached, api_key), allowed_hosts)),
        context.timer,
        RequestIds(new_request_id),
        observers=(RequestLog(log), context.metrics.completed, context.traffic.completed),
    )
