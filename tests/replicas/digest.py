"""What of an engine must be equal on all servers with the same log."""

from typing import Any

from nearline.engine import Recommender
from nearline.testing.servers.base import wait_until

SECONDS = 120.0


def digest(engine: Recommender) -> dict[str, Any]:
    """Return histories, counts and lists of an engine, by ID and not by index."""
    state = engine._current.deployment.state
    users = sorted(state.user_ids())
    return {
        "reflected": state.reflected,
        "users": [engine.user(user) for user in users],
        "popular": engine.popular(k=50),
        "lists": [engine.recommend(user, k=10) for user in [*users, "nobody"]],
    }


def same_offset(*engines: Recommender) -> None:
    """Wait until engines that share a log reflect the same part of it."""

    def same() -> bool:
        stamps = {engine.stamp for engine in engines}
        return len(stamps) == 1 and None not in stamps

    wait_until(same, "the replicas", SECONDS)
