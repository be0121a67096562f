"""IDs of requests: the client's own, if it is well-formed, or a new one."""

import re
import secrets
from collections.abc import Callable, Mapping
from itertools import count

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class RequestIds:
    """Gives each request an ID.

    Parameters
    ----------
    new_request_id : callable
        Returns an ID for a request that has none.
    """

    def __init__(self, new_request_id: Callable[[], str]) -> None:
        self._new_request_id = new_request_id

    def __call__(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the request ID of the headers, or a new one if it is missing or malformed."""
        sent = headers.get(b"x-request-id")
        if sent is not None and _WELL_FORMED.fullmatch(sent):
            return sent.decode()
        return self._new_request_id()


def unique_ids() -> Callable[[], str]:
    """Return a source of IDs: 16 random hexadecimal digits per process, then a counter of 16."""
    prefix, numbers = secrets.token_hex(8), count()
    return lambda: f"{prefix}{next(numbers):016x}"
