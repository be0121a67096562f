"""IDs of requests: the client's own, if it is well-formed, or a new one."""

import re
import secrets
from collections.abc import Callable, Iterator
from itertools import count

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# The last digits of new IDs, formatted once.
_LAST_DIGITS = [f"{number:03x}" for number in range(16**3)]


class RequestIds:
    """Gives each request an ID.

    Parameters
    ----------
    new_request_id : callable
        Returns an ID for a request that has none.
    """

    def __init__(self, new_request_id: Callable[[], str]) -> None:
        self._new_request_id = new_request_id

    def of(self, sent: bytes | None) -> str:
        """Return the ID that the client sent, or a new one if it is missing or malformed."""
        if sent is not None and _WELL_FORMED.fullmatch(sent):
            return sent.decode()
        return self._new_request_id()


def unique_ids() -> Callable[[], str]:
    """Return a source of IDs: 16 random hexadecimal digits, then 16 that count the requests."""

    def ids() -> Iterator[str]:
        prefix = secrets.token_hex(8)
        for number in count():
            first = f"{prefix}{number:013x}"
            for last in _LAST_DIGITS:
                yield first + last

    return ids().__next__
