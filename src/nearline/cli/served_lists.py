"""Reading of the served log of a store, while a server may have it open."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.cli.options import check_store

if TYPE_CHECKING:
    from nearline.served import Attributed


def read_served(
    store: Path, since: str | None, until: str | None
) -> "tuple[list[Attributed], float | None, float | None]":
    """Return the lists that were served since a time with what they led to, and both times.

    What was served in the last second may be missing.

    Raises
    ------
    InvalidInput
        A time is invalid.
    """
    from nearline.config import Config, with_settings_of
    from nearline.deployment.location import log_url
    from nearline.log import open_log
    from nearline.schema import parse_time
    from nearline.schema.questions import as_moment
    from nearline.served import attribute, read_segments
    from nearline.served.segments import FOLDER

    check_store(store)
    now = time.time()
    first, last = (
        None if text is None else parse_time(as_moment(text), name, now=now)
        for text, name in ((since, "since"), (until, "until"))
    )
    windows = with_settings_of(store, Config()).windows
    with open_log(log_url(store), read_only=True) as log:
        return (
            attribute(read_segments(store / FOLDER, first or 0.0, log.seal), log.read, windows),
            first,
            last,
        )
