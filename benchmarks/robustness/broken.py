"""A server in which one guarantee is broken on purpose, to show that the benchmark notices.

    python -m benchmarks.robustness.broken deduplication serve --store shop

The first argument names the guarantee, and the others are those of the command `nearline`.
"""

import secrets
import sys
from collections.abc import Callable
from unittest.mock import patch

from nearline.cli import main as nearline
from nearline.log import codec
from nearline.server.cache import AnswerCache, CachedResponse, Key


def cache() -> None:
    """Keep cached lists after the data has changed."""

    def drop_stale(_cache: AnswerCache) -> None:
        return

    def get(cache: AnswerCache, key: Key) -> CachedResponse | None:
        return cache._answers.get(key)

    patch.object(AnswerCache, "get", get).start()
    patch.object(AnswerCache, "_empty", drop_stale).start()


def deduplication() -> None:
    """Give each event a key of its own, even if its ID is known."""

    def event_key(_event_id: str) -> bytes:
        return secrets.token_bytes(codec.KEY_BYTES)

    patch.object(codec, "event_key", event_key).start()


BROKEN: dict[str, Callable[[], None]] = {"cache": cache, "deduplication": deduplication}


def main() -> None:
    """Break one guarantee, then run the command line."""
    name = sys.argv.pop(1)
    BROKEN[name]()
    sys.exit(nearline())


if __name__ == "__main__":
    main()
