"""Audit of requests: one line before a handler runs, and one with the status of its answer."""

from collections.abc import Callable

from nearline.server.exchange import Exchange
from nearline.trust.audit import AuditLine, AuditLog

# Scopes whose requests are audited. Lists and events are not: they are frequent, and events are in
# the log already.
AUDITED = frozenset({"items", "privacy", "admin"})
REFUSED = frozenset({401, 403, 429})
# Lines about refused requests per second; further ones are counted.
REFUSALS_PER_SECOND = 10.0


class Auditor:
    """Writes lines about requests.

    Parameters
    ----------
    log : AuditLog
    timer : callable
        Monotonic clock in seconds.
    """

    def __init__(self, log: AuditLog, timer: Callable[[], float]) -> None:
        self._log, self._timer = log, timer
        self._second, self._refusals, self._left_out = -1, 0, 0

    def begin(
        self, exchange: Exchange, *, scope: str, route: str, namespace: str, user_id: str | None
    ) -> None:
        """Write the first line of a request, and see to it that its answer writes the second."""
        if scope not in AUDITED:
            return
        user = "" if user_id is None else self._log.pseudonym(user_id)
        about = (exchange.request_id, exchange.grant.key_id, exchange.method, route, scope)
        self._log.append(AuditLine("begin", *about, namespace, user))

        def end(status: int) -> None:
            exchange.audit = None
            self._log.append(AuditLine("end", *about, namespace, user, status))

        exchange.audit = end

    def completed(self, exchange: Exchange) -> None:
        """Write a line about a request that was refused: an observer of all exchanges."""
        if exchange.audit is not None:  # the client has gone, or the server failed
            exchange.audit(exchange.status)
        if exchange.status not in REFUSED:
            return
        second = int(self._timer())
        if second != self._second:
            self._second, self._refusals = second, 0
        self._refusals += 1
        if self._refusals > REFUSALS_PER_SECOND:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        self._log.append(
            AuditLine(
                "refused",
                exchange.request_id,
                exchange.grant.key_id,
                exchange.method,
                exchange.route,
                status=exchange.status,
                lines=left_out,
            )
        )
