"""Garbage collection that skips the objects that exist before the first test; servers."""

import gc
from collections.abc import Iterator

import pytest

from nearline.testing.servers import KafkaServer, PostgresServer, kafka, postgres


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    # Imported modules hold millions of objects that are never garbage. Some tests collect garbage
    # often, and each time would visit all of these.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def postgres15() -> Iterator[PostgresServer]:
    """A PostgreSQL 15 server that all tests of a process share; do not end it."""
    with postgres(15) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    """A PostgreSQL 18 server that all tests of a process share; do not end it."""
    with postgres(18) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """A broker of the Kafka protocol that all tests of a process share; do not end it."""
    with kafka() as server:
        yield server
