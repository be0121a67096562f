"""Fixtures: a client of the app in this process, and a real server in another."""

import io
from collections.abc import Iterator

import httpx
import pytest
from litestar.testing import TestClient
from tests.server.serving import LiveServer, start_server, stop_server, wait_until_ready

from nearline.engine import Recommender
from nearline.server import Gateway, create_app


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    server = start_server(tmp_path_factory.mktemp("live"))
    yield server
    assert stop_server(server) == 0


@pytest.fixture
def http(live: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=120.0) as client:
        yield client


@pytest.fixture
def logs() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def app(logs: io.StringIO) -> Gateway:
    """An app with an empty engine in memory."""
    return create_app(Recommender, log_stream=logs)


@pytest.fixture
def client(app: Gateway) -> Iterator[TestClient[Gateway]]:
    """A client of `app`, whose engine is open."""
    with TestClient(app, raise_server_exceptions=False) as test_client:
        wait_until_ready(test_client.get)
        yield test_client
