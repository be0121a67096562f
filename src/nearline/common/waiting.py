"""Whether the caller of a full queue may wait for room, or must be refused at once."""

import asyncio
from contextvars import ContextVar

_REFUSED: ContextVar[bool] = ContextVar("refused", default=False)


def refuse_instead_of_waiting() -> None:
    """Let full queues refuse what the current context does, in threads that it starts, too.

    A server calls this for each request: requests that wait would occupy the threads of others.
    `asyncio.to_thread` passes the context to the thread.
    """
    _REFUSED.set(True)


def may_wait() -> bool:
    """Return whether this thread may wait: not in a running event loop, and not for a request."""
    if _REFUSED.get():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False
