"""Closes connections that hold a place without using it, so that others are always served.

The HTTP server times out a request line and headers that arrive slowly, but not a connection that
never sends a byte, a peer that never reads its answers, or one address that opens thousands of
connections. This module looks at the sockets of the process from outside the HTTP server, through
the kernel's own counters (``TCP_INFO``, see tcp(7)), and shuts down those beyond the limits. The
HTTP server then sees an ordinary end of the connection. It needs Linux; elsewhere it does nothing.
"""

import ipaddress
import os
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

SUPPORTED = sys.platform == "linux"
DESCRIPTORS = Path("/proc/self/fd")
SWEEP_SECONDS = 1.0
# An HTTP/2 client opens with a preface of 24 bytes; with fewer, no request has begun.
PREFACE_BYTES = 24
# Offsets in `struct tcp_info` of <linux/tcp.h>.
INFO_BYTES = 232
STATE, LAST_SENT, LAST_RECEIVED, BYTES_RECEIVED = 0, 44, 52, 128
ESTABLISHED = 1
# The part of an IPv6 address that names a network; hosts choose the rest as they like.
IPV6_NETWORK = 64


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds on the connections of a server.

    Attributes
    ----------
    silent_seconds : float
        How long a connection may last before it sends the first bytes of a request.
    idle_seconds : float
        How long a connection may last without a byte in either direction.
    unread_seconds : float
        How long sent data may wait for a peer that does not read it.
    per_address : int
        Connections that one IPv4 address or one IPv6 network of 64 bits may hold.
    """

    silent_seconds: float = 10.0
    idle_seconds: float = 120.0
    unread_seconds: float = 30.0
    per_address: int = 8_192


@dataclass(frozen=True)
class OpenConnection:
    """An established connection, as the kernel describes it."""

    socket: socket.socket
    address: str
    received: int
    since_received: float
    since_sent: float


class ConnectionGuard:
    """Shuts down the connections to a local port that are beyond the limits.

    Parameters
    ----------
    port : int
        Local port of the server in this process.
    limits : ConnectionLimits
    """

    def __init__(self, port: int, limits: ConnectionLimits) -> None:
        self._port = port
        self._limits = limits
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="connections", daemon=True)
        self._known: set[int] = set()

    def start(self) -> None:
        """Sweep once a second until `stop`."""
        if SUPPORTED:
            self._thread.start()

    def stop(self) -> None:
        """End the sweeps; idempotent."""
        self._stopping.set()

    def sweep(self) -> int:
        """Shut down what is beyond the limits now; return the number of connections shut down."""
        closed = 0
        by_address: defaultdict[str, list[OpenConnection]] = defaultdict(list)
        known: set[int] = set()
        try:
            for inode, connection in established(self._port):
                known.add(inode)
                if inode not in self._known:
                    self._bound_unread_data(connection.socket)
                by_address[connection.address].append(connection)
            for connections in by_address.values():
                for connection in self._beyond(connections):
                    with suppress(OSError):  # the peer may have closed it meanwhile
                        connection.socket.shutdown(socket.SHUT_RDWR)
                    closed += 1
        finally:
            self._known = known
            for connections in by_address.values():
                for connection in connections:
                    connection.socket.close()
        return closed

    def _beyond(self, connections: list[OpenConnection]) -> list[OpenConnection]:
        """Return the connections of one address to shut down: the idle ones and the excess."""
        limits = self._limits
        idle: list[OpenConnection] = []
        rest: list[OpenConnection] = []
        for connection in connections:
            silent = connection.received < PREFACE_BYTES
            quiet = min(connection.since_received, connection.since_sent)
            beyond = quiet > (limits.silent_seconds if silent else limits.idle_seconds)
            (idle if beyond else rest).append(connection)
        excess = len(rest) - limits.per_address
        if excess > 0:
            # Connections without a request first, then those that were quiet for longest.
            rest.sort(key=lambda one: (one.received >= PREFACE_BYTES, -one.since_received))
            idle += rest[:excess]
        return idle

    def _bound_unread_data(self, connection: socket.socket) -> None:
        milliseconds = int(self._limits.unread_seconds * 1_000)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def _run(self) -> None:
        while not self._stopping.wait(SWEEP_SECONDS):
            # Descriptors may run out for a moment; the next sweep tries again.
            with suppress(OSError):
                self.sweep()


def established(port: int) -> Iterator[tuple[int, OpenConnection]]:
    """Yield the established connections to a local port of this process, with their inodes.

    Each `OpenConnection` holds a duplicate of the socket, which the caller must close. A descriptor
    may be closed and reused at any moment; everything is therefore read from the duplicate.
    """
    seen: set[str] = set()
    for entry in list(DESCRIPTORS.iterdir()):
        try:
            link = str(entry.readlink())
            # A duplicate may have taken the number of a descriptor that is still to come.
            if not link.startswith("socket:[") or link in seen:
                continue
            seen.add(link)
            duplicate = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue
        try:
            connection = _describe(duplicate, port)
        except (OSError, ValueError):
            connection = None
        if connection is None:
            duplicate.close()
        else:
            yield int(link[len("socket:[") : -1]), connection


def _describe(found: socket.socket, port: int) -> OpenConnection | None:
    if found.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    if found.type != socket.SOCK_STREAM or found.getsockname()[1] != port:
        return None
    info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    if info[STATE] != ESTABLISHED:
        return None
    (since_sent,) = struct.unpack_from("=I", info, LAST_SENT)
    (since_received,) = struct.unpack_from("=I", info, LAST_RECEIVED)
    (received,) = struct.unpack_from("=Q", info, BYTES_RECEIVED)
    address = network(found.getpeername()[0])
    return OpenConnection(found, address, received, since_received / 1_000, since_sent / 1_000)


def network(address: str) -> str:
    """Return the address that limits apply to: an IPv4 address, or the network of an IPv6 one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_NETWORK), strict=False))
