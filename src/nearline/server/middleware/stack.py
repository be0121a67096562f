"""The order in which a request passes the middlewares."""

from collections.abc import Callable

from nearline.common.budget import MemoryUse
from nearline.server.context import AppContext
from nearline.server.exchange import Exchange, HTTPApp
from nearline.server.logs import JsonLog
from nearline.server.middleware.allowed_hosts import AllowedHosts
from nearline.server.middleware.allowed_methods import AllowedMethods
from nearline.server.middleware.api_keys import ApiKeys
from nearline.server.middleware.cached_answers import CachedAnswers
from nearline.server.middleware.canonical_paths import CanonicalPaths
from nearline.server.middleware.divided import Divided
from nearline.server.middleware.exchanges import Exchanges
from nearline.server.middleware.namespaced import Namespaced
from nearline.server.middleware.overload import OverloadProtection
from nearline.server.middleware.plain_events import PlainEvents
from nearline.server.middleware.plain_lists import PlainLists
from nearline.server.middleware.problem_responses import send_problem
from nearline.server.middleware.pseudonym_ids import PseudonymBodies, PseudonymIds
from nearline.server.middleware.repeated_reads import RepeatedReads
from nearline.server.middleware.request_bodies import RequestBodies
from nearline.server.middleware.request_ids import RequestIds
from nearline.server.middleware.request_log import RequestLog
from nearline.server.middleware.request_rates import AddressRates, KeyRates
from nearline.trust.grants import EVERYTHING, NOTHING
from nearline.trust.keyring import Keyring
from nearline.trust.pseudonyms import Pseudonyms
from nearline.trust.rates import RequestRates


def middleware_stack(
    api: HTTPApp,
    context: AppContext,
    *,
    api_key: str | None,
    keyring: Keyring | None,
    pseudonyms: Pseudonyms | None,
    allowed_hosts: frozenset[str] | None,
    log: JsonLog,
    new_request_id: Callable[[], str],
) -> Exchanges | RepeatedReads:
    """Wrap `api` in all middlewares.

    Every request: ID, host and origin, rate of the address, API key and its rate, cached answer; at
    the end metrics and a log line. `RepeatedReads` does the same for cached lists in one step.
    A request that is not cached: body, in a reader process the division between it and the writer,
    overload, plain lists, canonical path, plain events, then the routes. With pseudonyms, those of
    the path are set before the cache, and those of the body when it is complete.
    """
    security, timer = context.security, context.timer
    request_log, hosts = RequestLog(log), AllowedHosts(allowed_hosts, keyring)
    observers = [context.metrics.completed, request_log.completed]
    if context.auditor is not None:
        observers.append(context.auditor.completed)
    checks: list[Callable[[Exchange], None]] = [hosts.check]
    if security.address_rate is not None:
        checks.append(AddressRates(RequestRates(security.address_rate, security.burst), timer))
    guarded = api_key is not None or keyring is not None
    keys = ApiKeys(api_key, keyring)
    rates = KeyRates(RequestRates(security.key_rate, security.burst), timer)
    if guarded:
        checks += [keys, rates]
    routed = CanonicalPaths(PlainEvents(AllowedMethods(api), context.limits))
    computing: HTTPApp = OverloadProtection(PlainLists(routed), context.traffic)
    if context.upstream is not None:
        computing = Divided(computing, context.upstream, lambda: _needs_writer(context))
    if pseudonyms is not None:
        computing = PseudonymBodies(computing, pseudonyms)
    bodies = RequestBodies(computing, context.limits)
    context.metrics.memory["bodies"] = MemoryUse(bodies.limit, lambda: bodies.held)
    answers: CachedAnswers | Namespaced = CachedAnswers(bodies, context)
    if context.namespaces is not None:
        answers = Namespaced(bodies, CachedAnswers(bodies, context), context.namespaces)
    flow = context.flow

    def watched(exchange: Exchange) -> None:
        if flow.viewers:
            flow.note_answer(exchange.path, exchange.route, exchange.status, exchange.seconds)

    observers.append(watched)
    exchanges = Exchanges(
        timer=context.timer,
        traffic=context.traffic,
        large_answers=context.large_answers,
        request_ids=RequestIds(new_request_id),
        checks=checks,
        cached=answers if pseudonyms is None else PseudonymIds(answers, pseudonyms),
        send_error=send_problem,
        observers=observers,
        grant=NOTHING if guarded else EVERYTHING,
        gpc=security.gpc,
    )
    if (
        security.address_rate is not None
        or pseudonyms is not None
        or context.namespaces is not None
    ):
        return exchanges
    return RepeatedReads(
        exchanges,
        context,
        hosts=hosts,
        keys=keys,
        rates=rates,
        request_log=request_log,
        new_request_id=new_request_id,
    )


def _needs_writer(context: AppContext) -> bool:
    """Return whether the writer has to answer lists, too: also while the store is opened here."""
    engine = context.host.current
    return engine is None or engine.lists_need_writer
