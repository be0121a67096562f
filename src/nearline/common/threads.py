"""Facts about the current thread."""

import asyncio


def in_event_loop() -> bool:
    """Return whether this thread is running an event loop, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
