from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.shop import catalogue, clock, shop

import nearline as nl


@pytest.fixture
def rec() -> Iterator[nl.Recommender]:
    with nl.Recommender(clock=clock) as engine:
        yield engine.fit(shop(), items=catalogue())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "shop"
