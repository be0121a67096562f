"""Reading your own writes on any server: a read names the log offset that it must reflect."""

import asyncio

from nearline.errors import InvalidInput, NotThereYet
from nearline.server.context import AppContext

MIN_OFFSET = b"nearline-min-offset"
# Seconds for which a read waits for its offset, and between two looks at the state.
WAIT_SECONDS, POLL_SECONDS = 1.0, 0.002
_MAX_DIGITS = 18


async def until_offset(context: AppContext, value: bytes) -> None:
    """Wait a moment until the store reflects the log before an offset.

    Raises
    ------
    InvalidInput
        The value of the header is not an offset.
    NotThereYet
        The store does not reflect the offset in time.
    NotReady
        The store is not open.
    """
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise InvalidInput(
            f"Nearline-Min-Offset is {value.decode('latin-1')!r:.60}; send the number of the "
            "header Nearline-Offset of a write",
            field="Nearline-Min-Offset",
        )
    offset, engine = int(value), context.host.engine
    end = context.timer() + WAIT_SECONDS
    while engine.reached < offset:
        if context.timer() > end:
            raise NotThereYet(
                f"this server reflects the log up to offset {engine.reached:,}, and the request "
                f"asks for {offset:,}; try again in a second, or without Nearline-Min-Offset"
            )
        await asyncio.sleep(POLL_SECONDS)
