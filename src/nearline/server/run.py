"""Serving of the HTTP API with granian, in one process that owns the store."""

import asyncio
import gc
import ipaddress
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server
from litestar.types import ASGIApp

from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.server.app import create_app
from nearline.server.connections import ConnectionGuard, ConnectionLimits
from nearline.server.gateway import Gateway
from nearline.server.limits import Limits
from nearline.server.log_handlers import everything_as_json
from nearline.server.middleware.allowed_hosts import allowed_names
from nearline.server.namespaces import Stores
from nearline.server.security import Security, Tls
from nearline.server.workers import ReaderRole, WorkerPart, WorkerPool
from nearline.trust.keys import KeyStore

# Maximum number of connections that wait to be accepted, and that are open.
BACKLOG = 1_024
MAX_CONNECTIONS = 16_384
POLL_SECONDS = 0.02
# Seconds after which a thread that computes gives the interpreter lock to the event loop and to the
# writer of the log; an event needs it several times. Python's default is 5 ms.
SWITCH_SECONDS = 0.001
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def print_at_once(message: str) -> None:
    """Print a line without buffering, even to a file or a pipe."""
    print(message, flush=True)


def serve(
    open_engine: Callable[[], Recommender] | None,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    allow_hosts: Sequence[str] = (),
    announce: Callable[[str], None] = print_at_once,
    drain_seconds: float = 30.0,
    stores: Stores | None = None,
    security: Security | None = None,
    keys: Path | None = None,
    tls: Tls | None = None,
    workers: WorkerPool | None = None,
    reader: ReaderRole | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT; then finish requests in flight, close the store and return.

    The garbage collector is disabled until the store is open, since objects created until then are
    permanent. This shortens the start by a tenth.

    Parameters
    ----------
    open_engine : callable or None
        Opens the store, unless `stores` is given; called once, in a thread, while the server
        already responds to ``/livez``.
    host : str
        An IP address or ``localhost``; one that is not loopback requires an `api_key` or keys.
    port : int
        1 to 65535.
    api_key : str or None
        Key that requests must carry.
    announce : callable
        Called with a message that contains the address, once the server listens on it.
    drain_seconds : float
        Maximum seconds to wait for requests in flight at shutdown.
    stores : Stores or None
        Folder of several stores, which are served as namespaces.
    security : Security or None
        Rates and other settings that concern security; None for the defaults.
    keys : Path or None
        Folder with the keys that ``nearline keys`` makes.
    tls : Tls or None
        Certificate of the server, and the authorities of clients; None serves without TLS.
    workers : WorkerPool or None
        Reader processes that share the port; this process then serves only them.
    reader : ReaderRole or None
        Role of this process, if it is such a reader.

    Returns
    -------
    bool
        False if the signal arrived while the store was still being opened. A thread may then still
        be opening it; nothing was acknowledged, so the process can exit at any time.

    Raises
    ------
    InvalidInput
        The address cannot be used, or it is reachable from other machines and there is no key.
    Exception
        Any exception of `open_engine`.
    """
    made = "" if keys is not None and KeyStore(keys).exists else None
    key = made if api_key is None else api_key
    address = check_address(host, port, key, shared=reader is not None)
    if tls is not None:
        check_tls(tls)
    opened = open_engine
    if open_engine is not None and (workers is not None or reader is not None):
        whole = WorkerPart(open_engine, workers, reader, lambda: app.context.metrics.encoded())
        opened = whole.open
    gc.disable()  # until `settle_memory`
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        app = create_app(
            opened,
            limits,
            api_key=api_key,
            allowed_hosts=allowed_names(address, allow_hosts),
            stores=stores,
            security=security,
            keys=keys,
            upstream=None if reader is None else Path(reader.http),
            workers=None if workers is None else workers.counters,
        )
        if workers is not None:
            workers.log = app.log
        restore = everything_as_json(app.log)
        try:
            # Callbacks between threads are cheaper in uvloop than in asyncio's own loop.
            place = Listening(address, port, tls, workers)
            uvloop.run(_serve(app, place, announce, drain_seconds))
        finally:
            if not app.host.abandoned:  # else the thread that opens the store may still log
                restore()
    finally:
        gc.unfreeze()
        gc.enable()
        sys.setswitchinterval(interval)
    if app.host.failure is not None:
        raise app.host.failure
    return not app.host.abandoned


def check_tls(tls: Tls) -> None:
    """Raise `InvalidInput` unless a certificate and its key can be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, lambda: tls.key_password or "")
        if tls.client_authority is not None:
            context.load_verify_locations(tls.client_authority)
    except (OSError, ValueError) as error:  # also those of OpenSSL
        raise InvalidInput(
            f"the files for TLS cannot be used ({error}); give a certificate chain, its private "
            "key, and the certificates of authorities, all in PEM",
            field="tls",
        ) from None


def check_address(host: str, port: int, api_key: str | None, *, shared: bool = False) -> str:
    """Return the IP address to bind; raise `InvalidInput` if it cannot or must not be used.

    If the port is `shared` with other processes of the same server, it need not be free.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise InvalidInput(
            f"host is {host!r}; it must be an IP address or 'localhost'", field="host"
        ) from None
    if not address.is_loopback and api_key is None:
        raise InvalidInput(
            f"host is {host}, which other machines can reach, and there is no API key; "
            "give an API key, make keys with nearline keys create, or serve on 127.0.0.1",
            field="host",
        )
    if not 1 <= port <= 65_535:
        raise InvalidInput(f"port is {port}; it must be 1 to 65535", field="port")
    if shared:
        return str(address)
    # Test without SO_REUSEPORT, with which the server would share the port with other processes.
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


def granian_server(
    app: ASGIApp, address: str, port: int, tls: Tls | None = None, path: str | None = None
) -> Server:
    """Create a granian server with this package's settings, for any ASGI application.

    With `path`, it listens on that Unix socket only.
    """
    if path is not None:
        tls = None
    return Server(
        app,
        address=address,
        port=port,
        uds=None if path is None else Path(path),
        interface=Interfaces.ASGI,
        backlog=BACKLOG,
        backpressure=max_connections(),
        websockets=False,
        log_enabled=False,
        **_tls_settings(tls),
    )


def _tls_settings(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {
        "ssl_cert": tls.certificate,
        "ssl_key": tls.key,
        "ssl_key_password": tls.key_password,
        "ssl_protocol_min": SSLProtocols.tls12,
        "ssl_ca": tls.client_authority,
        "ssl_client_verify": tls.client_authority is not None,
    }


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
    """Exclude all loaded objects from garbage collection, and enable it.

    Modules and compiled kernels are about 250,000 permanent objects. A full collection would visit
    each of them and block all Python threads for 0.1 seconds. For the same reason, no
    collection runs here: the garbage of the start is small and is kept.
    """
    gc.freeze()
    gc.enable()


class Listening(NamedTuple):
    """Where a server listens: address, port, TLS, and the readers that listen there instead."""

    address: str
    port: int
    tls: Tls | None
    workers: WorkerPool | None


async def _serve(
    app: Gateway, place: Listening, announce: Callable[[str], None], drain_seconds: float
) -> None:
    address, port, tls, workers = place
    http = None if workers is None else workers.role.http
    server = granian_server(app, address, port, tls, http)
    stopping = asyncio.Event()
    app.host.on_failure = stopping.set

    def opened() -> None:
        settle_memory()
        if workers is not None:
            workers.start()

    app.host.on_open = opened
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(server.serve())
    announcing = asyncio.create_task(
        _announce(address, port, announce, "http" if tls is None else "https")
    )
    waiting = asyncio.create_task(stopping.wait())
    guard = ConnectionGuard(port, ConnectionLimits(per_address=max(1, max_connections() // 2)))
    if workers is None:
        guard.start()
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        ended_by_itself = serving.done()
        if app.host.opening:
            app.host.abandon()
            app.log.write("info", "stopped while the store was being opened")
        app.context.flow.close()
        if workers is not None:
            await asyncio.to_thread(workers.stop, drain_seconds)
        server.stop()  # type: ignore[no-untyped-call]
        _, in_flight = await asyncio.wait({serving}, timeout=drain_seconds)
        if in_flight:
            app.log.write("warning", "requests in flight were aborted", seconds=drain_seconds)
        elif ended_by_itself:
            serving.result()
            raise RuntimeError("the HTTP server stopped unexpectedly; see the lines above")
    finally:
        announcing.cancel()
        waiting.cancel()
        guard.stop()
        if workers is not None:
            await asyncio.to_thread(workers.stop, drain_seconds)
        if app.context.upstream is not None:
            await app.context.upstream.close()
        await app.host.close()
        app.log.stop()


async def _announce(address: str, port: int, announce: Callable[[str], None], scheme: str) -> None:
    """Announce the address once a connection to it succeeds."""
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
    announce(f"Listening on {scheme}://{shown}:{port}")
