"""A PostgreSQL server and engines that share a log in it."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

import nearline as nl
from nearline.testing.servers import PostgresServer

SCHEMAS = count()
OpenReplica = Callable[[str], nl.Recommender]


@pytest.fixture
def log_url(postgres15: PostgresServer, tmp_path: Path) -> Callable[[str], str]:
    """Return the URL of one log, with the folder of a replica and a shared one of snapshots."""
    schema = f"replicas{next(SCHEMAS)}"

    def url(name: str) -> str:
        return postgres15.url(
            schema=schema, folder=str(tmp_path / name), snapshots=str(tmp_path / "snapshots")
        )

    return url


@pytest.fixture
def replica(log_url: Callable[[str], str]) -> Iterator[OpenReplica]:
    """Return a function that opens a replica by its name; all are closed after the test."""
    opened: list[nl.Recommender] = []

    def open_replica(name: str) -> nl.Recommender:
        opened.append(nl.Recommender(log_url(name)))
        return opened[-1]

    yield open_replica
    for engine in opened:
        engine.close()
