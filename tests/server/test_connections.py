"""Idle and excess connections are shut down; others are unchanged."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from nearline.server.connections import (
    DESCRIPTORS,
    SUPPORTED,
    ConnectionGuard,
    ConnectionLimits,
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


def is_closed(client: socket.socket) -> bool:
    """Return whether the server closed the connection; it never sends data to these clients."""
    readable, _, _ = select.select([client], [], [], 0.2)
    return bool(readable) and client.recv(1) == b""


def test_a_silent_connection_is_closed_and_one_with_a_request_is_not(pairs: Pairs) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(silent_seconds=0.3))
    silent, partial, asking = pairs.connect(), pairs.connect(b"PRI *"), pairs.connect(REQUEST)
    assert guard.sweep() == 0
    time.sleep(0.5)
    late = pairs.connect()
    assert guard.sweep() == 2
    assert [is_closed(client) for client in (silent, partial, asking, late)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_connection_without_traffic_is_closed_after_the_idle_time(pairs: Pairs) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(silent_seconds=9, idle_seconds=0.3))
    idle, busy = pairs.connect(REQUEST), pairs.connect(REQUEST)
    time.sleep(0.5)
    busy.sendall(REQUEST)
    assert guard.sweep() == 1
    assert (is_closed(idle), is_closed(busy)) == (True, False)


def test_the_most_recently_used_connections_of_an_address_are_kept(pairs: Pairs) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(per_address=2))
    clients = []
    for _ in range(4):
        clients.append(pairs.connect(REQUEST))
        time.sleep(0.05)
    assert guard.sweep() == 2
    assert [is_closed(client) for client in clients] == [True, True, False, False]


def test_silent_connections_of_an_address_are_closed_first(pairs: Pairs) -> None:
    guard = ConnectionGuard(pairs.port, ConnectionLimits(per_address=1))
    asking = pairs.connect(REQUEST)
    time.sleep(0.05)
    silent = pairs.connect()
    assert guard.sweep() == 1
    assert (is_closed(asking), is_closed(silent)) == (False, True)


def test_connections_of_another_port_are_unchanged(pairs: Pairs) -> None:
    silent = pairs.connect()
    with ExitStack() as stack:
        other = Pairs(stack)
        time.sleep(0.2)
        assert ConnectionGuard(other.port, ConnectionLimits(silent_seconds=0.1)).sweep() == 0
    assert not is_closed(silent)


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
