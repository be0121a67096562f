"""Free TCP ports of the loopback interface for servers."""

import os
import socket
from contextlib import suppress
from itertools import count

# Below the ports that systems give to outgoing connections, so that none of these takes one.
FIRST, NUMBER = 12_000, 20_000
# Processes that run tests side by side begin far from each other.
_NEXT = count(os.getpid() * 7_919)


def free_port() -> int:
    """Return a port that no program listens on now, another one at each call."""
    while True:
        port = FIRST + next(_NEXT) % NUMBER
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Return whether a program accepts connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
