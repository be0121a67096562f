"""Order of the tests; garbage collection that skips what exists before them; servers."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.forking import ForkedModules

from nearline.testing.servers import KafkaServer, PostgresServer, kafka, postgres

# Modules that take longest come first, so that no process is alone with one of them at the end.
SLOWEST = (
    "tests/docs/test_pages.py",
    "tests/bench/test_size.py",
    "tests/server/test_dashboard_pages.py",
    "tests/models/test_models.py",
    "tests/training/test_training.py",
    "tests/adapters/test_spark.py",
    "tests/cli/test_compare.py",
    "tests/deployment/test_live.py",
    "tests/bench/test_scenarios.py",
    "tests/cli/test_demo.py",
    "tests/replicas/test_faults.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {Path(__file__).parents[1] / name: rank for rank, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


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


@pytest.fixture
def forked_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of jobs are forked from one that has loaded Nearline."""
    monkeypatch.setattr("nearline.jobs.worker.subprocess", ForkedModules)


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
