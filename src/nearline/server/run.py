"""Runs the HTTP API on granian: one process, which owns the store."""

import asyncio
import gc
import ipaddress
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar.types import ASGIApp

from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.server.app import create_app
from nearline.server.connections import ConnectionGuard, ConnectionLimits
from nearline.server.gateway import Gateway
from nearline.server.limits import Limits

# Connections that the kernel queues until the server accepts them, and those that may be open.
BACKLOG = 1_024
MAX_CONNECTIONS = 16_384
POLL_SECONDS = 0.02
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def print_at_once(message: str) -> None:
    """Print a line, also where the output is a file or a pipe."""
    print(message, flush=True)


def serve(
    open_engine: Callable[[], Recommender],
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    announce: Callable[[str], None] = print_at_once,
    drain_seconds: float = 30.0,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in flight, close the store and return.

    The garbage collector rests until the store is open: it would look again and again at what
    stays for good, which takes a tenth of a start.

    Parameters
    ----------
    open_engine : callable
        Opens the store; called once, in a thread, while the server already answers ``/livez``.
    host : str
        An IP address or ``localhost``; others than loopback need an `api_key`.
    port : int
        1 to 65535.
    api_key : str or None
        Key that requests must carry.
    announce : callable
        Told the address once the server listens on it.
    drain_seconds : float
        How long to wait at the end for requests in flight.

    Raises
    ------
    InvalidInput
        If the address cannot be used, or is open to others and there is no key.
    Exception
        Whatever `open_engine` raised: without a store there is nothing to serve.
    """
    address = check_address(host, port, api_key)
    gc.disable()  # until `settle_memory`
    try:
        app = create_app(open_engine, limits, api_key=api_key)
        # Its callbacks between threads cost less than those of asyncio's own loop.
        uvloop.run(_serve(app, address, port, announce, drain_seconds))
    finally:
        gc.unfreeze()
        gc.enable()
    if app.host.failure is not None:
        raise app.host.failure


def check_address(host: str, port: int, api_key: str | None) -> str:
    """Return the IP address to bind to, if the server may and can."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InvalidInput(
            f"host is {host!r}; it must be an IP address or 'localhost'", field="host"
        ) from None
    if not address.is_loopback and api_key is None:
        raise InvalidInput(
            f"host is {host}, which others can reach, and there is no API key; "
            "give an API key or serve on 127.0.0.1",
            field="host",
        )
    if not 1 <= port <= 65_535:
        raise InvalidInput(f"port is {port}; it must be 1 to 65535", field="port")
    # Asked first without sharing: the server itself would share the port with whoever listens.
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(address), port))
        except OSError as error:
            raise InvalidInput(
                f"port {port} of {host} cannot be used ({error.strerror}); give another port",
                field="port",
            ) from None
    return str(address)


def granian_server(app: ASGIApp, address: str, port: int) -> Server:
    """Make the server with the settings of this package, for any ASGI application."""
    return Server(
        app,
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        backlog=BACKLOG,
        backpressure=max_connections(),
        websockets=False,
        log_enabled=False,
    )


def max_connections() -> int:
    """Return how many connections may be open at once, after raising the limit of descriptors.

    At most half of the descriptors are for connections: the store needs some of the others.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # Some systems refuse a limit that they report as allowed.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft // 2))


def settle_memory() -> None:
    """Take what this process has loaded out of the sight of the garbage collector, and start it.

    Modules and compiled kernels are some 250,000 objects that stay for good. A full collection
    would look at each of them, and no thread of Python runs during those 0.1 seconds. So none is
    made here either: what is garbage by now stays, and is little.
    """
    gc.freeze()
    gc.enable()


async def _serve(
    app: Gateway, address: str, port: int, announce: Callable[[str], None], drain_seconds: float
) -> None:
    server = granian_server(app, address, port)
    stopping = asyncio.Event()
    app.host.on_failure = stopping.set
    app.host.on_open = settle_memory
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(server.serve())
    announcing = asyncio.create_task(_announce(address, port, announce))
    waiting = asyncio.create_task(stopping.wait())
    guard = ConnectionGuard(port, ConnectionLimits(per_address=max(1, max_connections() // 2)))
    guard.start()
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        ended_by_itself = serving.done()
        server.stop()  # type: ignore[no-untyped-call]
        _, in_flight = await asyncio.wait({serving}, timeout=drain_seconds)
        if in_flight:
            app.log.write("warning", "requests in flight were given up", seconds=drain_seconds)
        elif ended_by_itself:
            serving.result()
            raise RuntimeError("the HTTP server stopped by itself; see the lines above")
    finally:
        announcing.cancel()
        waiting.cancel()
        guard.stop()
        await app.host.close()


async def _announce(address: str, port: int, announce: Callable[[str], None]) -> None:
    """Tell the address once a connection to it succeeds."""
    while True:
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            await writer.wait_closed()
            break
    shown = f"[{address}]" if ":" in address else address
    announce(f"Listening on http://{shown}:{port}")
