"""Closing of connections that are open but not used, so that the server can accept others.

The HTTP server times out a request line and headers that arrive slowly, but not a connection that
never sends a byte, a client that never reads its answers, or an address that opens thousands of
connections. This module examines the sockets of the process, outside the HTTP server, by the
counters of the kernel (``TCP_INFO``, see tcp(7)), and shuts down those beyond the limits. For the
HTTP server, the client has then closed the connection. On systems other than Linux, it does
nothing.
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
# An HTTP/2 client first sends a preface of 24 bytes; with fewer bytes, no request has begun.
PREFACE_BYTES = 24
# Offsets in `struct tcp_info` of <linux/tcp.h>.
INFO_BYTES = 232
STATE, LAST_SENT, LAST_RECEIVED, BYTES_RECEIVED = 0, 44, 52, 128
ESTABLISHED = 1
# Number of bits of an IPv6 address that identify a network; hosts can choose the other bits.
IPV6_NETWORK = 64


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits on the connections of a server.

    Attributes
    ----------
    silent_seconds : float
        Maximum seconds from the opening of a connection to the first bytes of a request.
    idle_seconds : float
        Maximum seconds without a byte in either direction.
    unread_seconds : float
        Maximum seconds for which sent data may wait for a client that does not read it.
    per_address : int
        Maximum number of connections of an IPv4 address or an IPv6 network of 64 bits.
    """

    silent_seconds: float = 10.0
    idle_seconds: float = 120.0
    unread_seconds: float = 30.0
    per_address: int = 8_192


@dataclass(frozen=True)
class OpenConnection:
    """Established connection, with counters of the kernel.

    Attributes
    ----------
    socket : socket
        Duplicate of the socket, which must be closed.
    address : str
        Result of `network` for the address of the client.
    received : int
        Number of received bytes.
    since_received, since_sent : float
        Seconds since data was last received and sent.
    """

    socket: socket.socket
    address: str
    received: int
    since_received: float
    since_sent: float


class ConnectionGuard:
    """Thread that shuts down the connections to a local port that are beyond the limits.

    Parameters
    ----------
    port : int
        Local port of the server in this process.
    limits : ConnectionLimits
        Limits on connections.
    """

    def __init__(self, port: int, limits: ConnectionLimits) -> None:
        self._port = port
        self._limits = limits
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="connections", daemon=True)
        self._known: set[int] = set()

    def start(self) -> None:
        """Start the thread, which calls `sweep` once per second until `stop`."""
        if SUPPORTED:
            self._thread.start()

    def stop(self) -> None:
        """End the thread; idempotent."""
        self._stopping.set()

    def sweep(self) -> int:
        """Shut down the connections beyond the limits; return their number."""
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
            # If there are no free descriptors, the next sweep tries again.
            with suppress(OSError):
                self.sweep()


def established(port: int) -> Iterator[tuple[int, OpenConnection]]:
    """Yield the established connections to a local port of this process, with their inodes.

    Each `OpenConnection` contains a duplicate of the socket, which the caller must close. Since a
    descriptor can be closed and used again at any time, all data is read from the duplicate.
    """
    seen: set[str] = set()
    for entry in list(DESCRIPTORS.iterdir()):
        try:
            link = str(entry.readlink())
            # A duplicate may have the number of a later entry.
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
    """Return the address to which limits apply: an IPv4 address, or an IPv6 network."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_NETWORK), strict=False))
