"""Valkey, or any server of its protocol, as a cache that several servers share.

Nothing in it is needed: if it is away, slow, or emptied, each server computes for itself.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from nearline.adapters.guards import Breaker
from nearline.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    import glide

logger = logging.getLogger(__name__)

SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
PORT = 6_379
PREFIX = "nearline"
# Milliseconds that a command may take, after which the server computes for itself.
REQUEST_MS = 100
CONNECT_SECONDS = 5.0
# After so many failures, the cache is left alone for some seconds.
FAILURES, PAUSE_SECONDS = 3, 5.0
# Keys that are removed at a time.
_BATCH = 500
# Tokens since the last call are added, at most `burst`; if there are enough, they are taken. The
# clock is that of Valkey, so that all servers have the same. Returns milliseconds to wait.
_TAKE = """
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local found = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(found[1]) or burst, tonumber(found[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local wait = 0
if tokens >= cost then
  tokens = tokens - cost
else
  wait = math.ceil((cost - tokens) / rate * 1000)
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(math.max(now, at)))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return wait
"""


class Address(NamedTuple):
    """Parts of the URL of a server.

    Attributes
    ----------
    nodes : tuple of (str, int)
        Hosts and ports.
    tls, cluster : bool
        Whether connections are encrypted, and whether the servers are a cluster.
    user, password : str or None
    prefix : str
        Start of all keys.
    """

    nodes: tuple[tuple[str, int], ...]
    tls: bool
    cluster: bool
    user: str | None
    password: str | None
    prefix: str


def parse_address(url: str) -> Address:
    """Return the parts of ``valkey://[user:password@]host:port[,host:port][?cluster=1&prefix=]``.

    Raises
    ------
    InvalidInput
        The URL has another form; the message does not contain it, since it may have a password.
    """
    wrong = InvalidInput(
        "the address of Valkey is invalid; write valkey://host:port, or valkey://h1:p1,h2:p2?"
        "cluster=1 for a cluster, or valkeys:// for TLS",
        field="shared",
    )
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    login, _, hosts = parts.netloc.rpartition("@")
    if parts.scheme not in SCHEMES or not hosts or options.keys() - {"cluster", "prefix"}:
        raise wrong
    nodes = []
    for node in hosts.split(","):
        host, _, port = node.partition(":")
        if not host or (port and not (port.isdecimal() and 0 < int(port) < 65_536)):
            raise wrong
        nodes.append((host, int(port or PORT)))
    user, _, password = login.partition(":")
    return Address(
        tuple(nodes),
        SCHEMES[parts.scheme],
        options.get("cluster", "0") not in ("0", ""),
        unquote(user) or None,
        unquote(password) or None,
        options.get("prefix", PREFIX),
    )


class SharedCache:
    """Cache and rate limits that several servers share; used from one event loop.

    The first call begins to connect and does not wait for it. No method raises an error: without a
    connection, `get` and `take` return None, and `put` does nothing.

    Parameters
    ----------
    url : str
        See `parse_address`.
    clock : callable
        Clock in Unix seconds, for the pause after failures.

    Attributes
    ----------
    hits, misses, failures : int
        Numbers of look-ups that found a value and that did not, and of calls that failed.

    Raises
    ------
    InvalidInput
        The URL is invalid.
    MissingExtra
        The extra `valkey` is not installed.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._address = parse_address(url)
        self._glide = import_glide()
        self._take = self._glide.Script(_TAKE)
        self._clock = clock
        self._breaker = Breaker(FAILURES, PAUSE_SECONDS)
        self._client: glide.TGlideClient | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False
        self.hits = self.misses = self.failures = 0

    async def connected(self) -> bool:
        """Wait until the connection is made or has failed; return whether it is there."""
        self._ready()
        if self._connecting is not None:
            await asyncio.wait({self._connecting})
        return self._client is not None

    async def get(self, key: str) -> bytes | None:
        """Return a value; None if there is none, or if the cache cannot be reached."""
        found = await self._call(lambda client: client.get(self._key(key)))
        value = found if isinstance(found, bytes) else None
        self.hits += value is not None
        self.misses += value is None
        return value

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Store a value that is removed after some seconds."""
        expiry = self._glide.ExpirySet(
            self._glide.ExpiryType.MILLSEC, max(1, math.ceil(1_000 * seconds))
        )
        await self._call(lambda client: client.set(self._key(key), value, expiry=expiry))

    async def take(
        self, name: str, *, rate: float, burst: float, cost: float = 1.0
    ) -> float | None:
        """Take tokens from a bucket that all servers share.

        Parameters
        ----------
        name : str
            Name of the bucket, such as that of an API key.
        rate : float
            Tokens that are added in a second, above 0.
        burst : float
            Tokens of a full bucket, at least `cost`.
        cost : float
            Tokens to take.

        Returns
        -------
        float or None
            0 if they were taken, or else the seconds after which there will be enough. None if the
            cache cannot be reached; the caller then limits by itself.
        """
        if not (rate > 0 and burst >= cost >= 0):
            raise ValueError(f"rate {rate}, burst {burst} and cost {cost} do not fit together")
        keys, numbers = [self._key(f"bucket:{name}")], [str(rate), str(burst), str(cost)]
        wait = await self._call(
            lambda client: client.invoke_script(self._take, keys=keys, args=numbers)
        )
        return wait / 1_000 if isinstance(wait, int) else None

    async def clear(self, prefix: str) -> None:
        """Remove all values whose keys begin with a prefix. O(all keys of the server)."""
        pattern = self._key(_escaped(prefix)) + "*"
        start: Any = self._glide.ClusterScanCursor() if self._address.cluster else b"0"
        cursor, finished = start, False
        while not finished:
            page = await self._call(
                lambda client: client.scan(cursor, match=pattern, count=_BATCH)  # noqa: B023
            )
            if page is None:
                return
            cursor, keys = page
            if keys:
                await self._call(lambda client: client.unlink(keys))  # noqa: B023
            finished = cursor.is_finished() if self._address.cluster else cursor == b"0"

    async def close(self) -> None:
        """Close the connection; idempotent."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _key(self, key: str) -> str:
        return f"{self._address.prefix}:{key}"

    async def _call(self, command: Callable[[Any], Any]) -> Any:
        """Return the result of a command; None without a connection or after an error."""
        if not self._ready() or not self._breaker.admits(self._clock()):
            return None
        try:
            result = await command(self._client)
        except (self._glide.GlideError, OSError) as error:
            self._failed(error)
            return None
        except BaseException:
            self._breaker.gave_up()
            raise
        self._breaker.succeeded()
        return result

    def _ready(self) -> bool:
        """Return whether there is a connection; otherwise begin to make one."""
        if self._client is not None:
            return True
        idle = self._connecting is None or self._connecting.done()
        if idle and not self._closed and self._breaker.admits(self._clock()):
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        return False

    async def _connect(self) -> None:
        address, library = self._address, self._glide
        login = None
        if address.password is not None:
            login = library.ServerCredentials(password=address.password, username=address.user)
        config, kind = library.GlideClientConfiguration, library.GlideClient
        if address.cluster:
            config, kind = library.GlideClusterClientConfiguration, library.GlideClusterClient
        try:
            self._client = await asyncio.wait_for(
                kind.create(
                    config(
                        [library.NodeAddress(host, port) for host, port in address.nodes],
                        use_tls=address.tls,
                        credentials=login,
                        request_timeout=REQUEST_MS,
                        client_name="nearline",
                    )
                ),
                CONNECT_SECONDS,
            )
        except (library.GlideError, OSError, TimeoutError) as error:
            self._failed(error)
        except BaseException:
            self._breaker.gave_up()
            raise
        else:
            self._breaker.succeeded()

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        if self._breaker.failed(self._clock()):
            logger.warning(
                "Valkey: %s; it is left alone for %.0f seconds", type(error).__name__, PAUSE_SECONDS
            )


def _escaped(text: str) -> str:
    """Return a text without special meaning in a pattern."""
    return "".join(f"\\{char}" if char in "*?[]^\\" else char for char in text)


def import_glide() -> Any:
    """Return the module of the client; raise `MissingExtra` if it is not installed."""
    try:
        import glide
    except ImportError:
        raise MissingExtra(
            "Valkey needs the package valkey-glide; install the extra: pip install "
            "'nearline[valkey]'"
        ) from None
    return glide
