"""Idle and excess connections are shut down; others are unchanged."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from nearline.server import connections
from nearline.server.connections import (
    DESCRIPTORS,
    SUPPORTED,
    ConnectionGuard,
    ConnectionLimits,
    OpenConnection,
    established,
    network,
)

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="needs the kernel's TCP_INFO of Linux")

REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Pairs:
    """A listening socket of this process, and connections to it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._listener.getsockname()[1]
        self.accepted: list[socket.socket] = []

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = self._stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
        client.sendall(sent)
        self.accepted.append(self._stack.enter_context(self._listener.accept()[0]))
        return client


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    with ExitStack() as stack:
        yield Pairs(stack)


def closed(clients: list[socket.socket], number: int) -> list[bool]:
    """Return which connections the server closed, once as many are; it never sends data."""
    readable: list[socket.socket] = []
    while len(readable) < number:
        readable, _, _ = select.select(clients, [], [], 60.0)
        assert readable
    return [client in readable and client.recv(1) == b"" for client in clients]


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that adds seconds without traffic to the counters of connections."""
    added: dict[int, float] = {}

    def aged(port: int) -> Iterator[tuple[int, OpenConnection]]:
        for inode, one in established(port):
            extra = added.get(one.socket.getpeername()[1], 0.0)
            yield (
                inode,
                replace(
                    one,
                    since_received=one.since_received + extra,
                    since_sent=one.since_sent + extra,
                ),
            )

    def add(seconds: float, *clients: socket.socket) -> None:
        added.update({client.getsockname()[1]: seconds for client in clients})

    monkeypatch.setattr(connections, "established", aged)
    return add


def test_the_counters_are_those_of_the_kernel(pairs: Pairs) -> None:
    pairs.connect(b"PRI *")
    pairs.connect()
    time.sleep(0.02)
    found = [one for _, one in established(pairs.port)]
    assert sorted(one.received for one in found) == [0, 5]
    for one in found:
        one.socket.close()
        assert one.address == "127.0.0.1"
        assert min(one.since_received, one.since_sent) > 0.0


def test_a_silent_connection_is_closed_and_one_with_a_request_is_not(
    pairs: Pairs, age: Callable[..., None]
) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(silent_seconds=900, idle_seconds=9_000))
    silent, partial, asking = pairs.connect(), pairs.connect(b"PRI *"), pairs.connect(REQUEST)
    assert guard.sweep() == 0
    age(1_000, silent, partial, asking)
    late = pairs.connect()
    assert guard.sweep() == 2
    assert closed([silent, partial, asking, late], 2) == [True, True, False, False]


def test_a_connection_without_traffic_is_closed_after_the_idle_time(
    pairs: Pairs, age: Callable[..., None]
) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(silent_seconds=9, idle_seconds=900))
    idle, busy = pairs.connect(REQUEST), pairs.connect(REQUEST)
    age(1_000, idle)
    assert guard.sweep() == 1
    assert closed([idle, busy], 1) == [True, False]


def test_the_most_recently_used_connections_of_an_address_are_kept(pairs: Pairs) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(per_address=2))
    clients = []
    for _ in range(4):
        clients.append(pairs.connect(REQUEST))
        time.sleep(0.05)
    assert guard.sweep() == 2
    assert closed(clients, 2) == [True, True, False, False]


def test_silent_connections_of_an_address_are_closed_first(pairs: Pairs) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(per_address=1))
    asking = pairs.connect(REQUEST)
    time.sleep(0.05)
    silent = pairs.connect()
    assert guard.sweep() == 1
    assert closed([asking, silent], 1) == [False, True]


def test_connections_of_another_port_are_unchanged(pairs: Pairs, age: Callable[..., None]) -> None:
    silent = pairs.connect()
    with ExitStack() as stack:
        other = Pairs(stack)
        age(1_000, silent)
        assert ConnectionGuard(other.port, ConnectionLimits()).sweep() == 0
    assert closed([silent], 0) == [False]


def test_unread_data_has_a_time_limit(pairs: Pairs) -> None:
    pairs.connect(REQUEST)
    ConnectionGuard(pairs.port, ConnectionLimits(unread_seconds=7)).sweep()
    (server,) = pairs.accepted
    assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000


def test_a_sweep_leaves_no_descriptor_open(pairs: Pairs) -> None:
    pairs.connect()
    guard = ConnectionGuard(pairs.port, ConnectionLimits(silent_seconds=0))
    before = len(list(DESCRIPTORS.iterdir()))
    time.sleep(0.05)
    assert guard.sweep() == 1
    assert len(list(DESCRIPTORS.iterdir())) == before


@pytest.mark.parametrize(
    ("address", "limited_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_ipv6_hosts_of_one_network_share_a_limit(address: str, limited_as: str) -> None:
    assert network(address) == limited_as
