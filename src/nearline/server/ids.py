"""Ids of requests: unlike any other process', and cheap."""

import secrets
from collections.abc import Callable
from itertools import count


def request_ids() -> Callable[[], str]:
    """Return a source of ids: 16 random hexadecimal digits of its own, then 16 that count."""
    own, numbers = secrets.token_hex(8), count()
    return lambda: f"{own}{next(numbers):016x}"
