"""RequestRates of requests: the limits for each address and for each key."""

from collections.abc import Callable

from nearline.server.exchange import Exchange
from nearline.server.problems import TooManyRequests
from nearline.trust.grants import Grant
from nearline.trust.rates import RequestRates


class AddressRates:
    """Limits the requests of each address, before their keys are looked at."""

    def __init__(self, rates: RequestRates, timer: Callable[[], float]) -> None:
        self.rates = rates
        self._timer = timer

    def __call__(self, exchange: Exchange) -> None:
        """Raise `TooManyRequests` if the address of a request sent too many."""
        address = exchange.client[0] if exchange.client else ""
        late = self.rates.take(address, self._timer())
        if late:
            raise _refusal("this address", late)


class KeyRates:
    """Limits the requests of each key."""

    def __init__(self, rates: RequestRates, timer: Callable[[], float]) -> None:
        self.rates = rates
        self._timer = timer

    def __call__(self, exchange: Exchange) -> None:
        """Raise `TooManyRequests` if the key of a request sent too many."""
        late = self.late(exchange.grant)
        if late:
            raise _refusal("this key", late)

    def late(self, grant: Grant) -> float:
        """Count a request; return the seconds by which it is too early, and 0 if it may pass."""
        if not grant.key_id:
            return 0.0
        return self.rates.take(grant.key_id, self._timer(), grant.rate)


def _refusal(sender: str, late: float) -> TooManyRequests:
    return TooManyRequests(
        f"{sender} sent more requests than it may; send the next one in {late:.3g} seconds, or ask "
        "for a higher rate",
        late,
    )
