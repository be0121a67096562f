"""Namespaces: several stores in one server, each in a folder of its own below one folder.

A store is opened by the first request for its namespace. When more stores are open than allowed,
or the process uses more memory than its budget, those that were not used for the longest time are
closed. Namespaces share the routes, the middlewares and the limits of the server, but no engine and
no cache.
"""

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nearline.common.budget import process_memory
from nearline.common.memory import give_back
from nearline.deployment.store import is_store
from nearline.engine import Recommender
from nearline.errors import InvalidInput, Overloaded, UnknownNamespace
from nearline.schema.definitions import nearest
from nearline.server.cache import AnswerCache
from nearline.server.context import AppContext
from nearline.server.host import EngineHost
from nearline.server.logs import JsonLog
from nearline.server.preload import Preloader

MAX_NAME = 64
# Maximum number of folders below the folder of a server, and of stores that open at a time.
MAX_NAMESPACES = 10_000
OPENED_AT_ONCE = 2
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}", re.ASCII)


class Stores(Struct, frozen=True, kw_only=True):
    """Folder of the stores of a server, and how they are opened.

    Attributes
    ----------
    folder : Path
        Folder whose subfolders are the stores; created if it is missing.
    open_store : callable
        Opens the store in a folder.
    most_open : int
        Maximum number of open stores.
    """

    folder: Path
    open_store: Callable[[Path], Recommender]
    most_open: int = 100


class Namespace(Struct, frozen=True, kw_only=True):
    """Name of a namespace, and whether its store is open or was created by the request."""

    name: str
    open: bool
    created: bool = False


class StoresHost(EngineHost):
    """Host of a server with namespaces, which has no store of its own.

    An empty recommender in memory takes the place of the store: it loads what all stores share.
    """

    def __init__(self, log: JsonLog) -> None:
        super().__init__(Recommender, log)

    @property
    def engine(self) -> Recommender:
        """Raise `UnknownNamespace`."""
        raise UnknownNamespace(
            "this server has several stores; put /v1/ns/NAME in front of the path instead of /v1"
        )

    @property
    def stamp(self) -> None:
        """None: nothing is cached outside of namespaces."""


class OpenStore:
    """An open store, or one that is being opened.

    Attributes
    ----------
    context : AppContext
        Objects that the handlers of its requests share.
    users : int
        Number of requests that use it.
    """

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.users = 0
        self.opening: asyncio.Task[None] | None = None


class Namespaces:
    """Open stores by name; to be used only from the event loop.

    Parameters
    ----------
    stores : Stores
    context : AppContext
        Context of the server, whose objects the namespaces share.
    """

    def __init__(self, stores: Stores, context: AppContext, log: JsonLog) -> None:
        self._stores = stores
        self._context = context
        self._log = log
        self._open: OrderedDict[str, OpenStore] = OrderedDict()
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._beginning = asyncio.Lock()
        self._turns = asyncio.Semaphore(OPENED_AT_ONCE)
        limits, most = context.limits, max(1, stores.most_open)
        # Each store has its share of the cache.
        self._limits = replace(
            limits,
            cache_bytes=limits.budget.cache // most,
            cache_entries=limits.cache_entries // most,
            preload_per_second=0,
        )
        self._memory = 2 * limits.budget.job

    @property
    def n_open(self) -> int:
        """Number of open stores."""
        return len(self._open)

    def get(self, name: str) -> OpenStore | None:
        """Return a store if it is open already."""
        store = self._open.get(name)
        if store is None or store.opening is None or not store.opening.done():
            return None
        self._open.move_to_end(name)
        return store

    @asynccontextmanager
    async def using(self, name: str, *, create: bool = False) -> AsyncIterator[OpenStore]:
        """Open a store if it isn't open, and keep it open for the duration of the block.

        Parameters
        ----------
        create : bool
            Create the store if there is none.

        Raises
        ------
        InvalidInput, UnknownNamespace
            The name is malformed; there is no such store.
        Overloaded
            All stores that may be open are in use.
        """
        check_name(name)
        while name in self._closing:
            await asyncio.shield(self._closing[name])
        store = self._open.get(name)
        if store is None:
            if not create:
                await asyncio.to_thread(self._check_exists, name)
            store = self._open.get(name) or await self._begin(name)
        self._open.move_to_end(name)
        store.users += 1
        try:
            if store.opening is not None:
                await asyncio.shield(store.opening)
            yield store
        finally:
            store.users -= 1

    async def names(self) -> list[Namespace]:
        """Return all namespaces, in alphabetical order."""
        found = await asyncio.to_thread(self._names)
        return [Namespace(name=name, open=name in self._open) for name in found]

    async def create(self, name: str) -> Namespace:
        """Create the store of a namespace; an existing one stays as it is."""
        check_name(name)
        there = await asyncio.to_thread(self._names)
        if name not in there and len(there) >= MAX_NAMESPACES:
            raise InvalidInput(
                f"there are {len(there):,} namespaces, which is the limit; delete a folder",
                field="name",
            )
        same = next((other for other in there if other.lower() == name.lower()), name)
        if same != name:
            raise InvalidInput(
                f"name is {name!r}, and there is {same!r}, which differs only in case; choose "
                "another name",
                field="name",
            )
        async with self.using(name, create=True):
            return Namespace(name=name, open=True, created=name not in there)

    async def find(self, name: str) -> Namespace:
        """Return a namespace without opening its store."""
        check_name(name)
        await asyncio.to_thread(self._check_exists, name)
        return Namespace(name=name, open=name in self._open)

    async def close(self) -> None:
        """Close all stores."""
        for name in list(self._open):
            self._begin_closing(name)
        while self._closing:
            await asyncio.gather(*self._closing.values())

    async def _begin(self, name: str) -> OpenStore:
        """Register a store, after others were closed to make room for it, and start opening it."""
        async with self._beginning:
            while name in self._closing:
                await asyncio.shield(self._closing[name])
            store = self._open.get(name)  # another request may have been here meanwhile
            if store is not None:
                return store
            await self._make_room()
            folder = self._stores.folder / name
            host = EngineHost(lambda: self._stores.open_store(folder), self._log, warm=False)
            store = self._open[name] = OpenStore(self._context_of(host))
            store.opening = asyncio.create_task(self._finish_opening(name, host))
            # If all requests that wait for it are cancelled, nobody asks for its exception.
            store.opening.add_done_callback(lambda task: task.cancelled() or task.exception())
            return store

    async def _finish_opening(self, name: str, host: EngineHost) -> None:
        async with self._turns:
            host.start()
            await host.opened()
        if host.failure is not None:
            self._open.pop(name, None)
            raise host.failure

    async def _make_room(self) -> None:
        """Close stores until one more may be opened."""
        tried = 0
        while len(self._open) >= self._stores.most_open or (
            self._open and not tried and process_memory(os.getpid()) > self._memory
        ):
            idle = next((name for name, store in self._open.items() if not store.users), None)
            if idle is None:
                if len(self._open) < self._stores.most_open:
                    return
                raise Overloaded(
                    f"all {len(self._open)} stores that may be open are in use; try again in a "
                    "second"
                )
            over_memory = len(self._open) < self._stores.most_open
            tried += over_memory
            self._begin_closing(idle)
            await asyncio.shield(self._closing[idle])
            if over_memory:
                await asyncio.to_thread(give_back)

    def _begin_closing(self, name: str) -> None:
        store = self._open.pop(name)

        async def close() -> None:
            try:
                if store.opening is not None:
                    await asyncio.gather(store.opening, return_exceptions=True)
                await store.context.host.close()
            finally:
                del self._closing[name]

        self._closing[name] = asyncio.create_task(close())

    def _context_of(self, host: EngineHost) -> AppContext:
        shared, limits = self._context, self._limits
        cache = AnswerCache(host, limits)
        preloader = Preloader(
            cache, shared.traffic, per_second=0, clock=shared.clock, timer=shared.timer
        )
        return replace(
            shared,
            host=host,
            limits=limits,
            cache=cache,
            preloader=preloader,
            flow=shared.flow.part(),
            namespaces=None,
        )

    def _names(self) -> list[str]:
        folder = self._stores.folder
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        return sorted(name for name in found if is_store(folder / name))

    def _check_exists(self, name: str) -> None:
        """Raise `UnknownNamespace` unless there is a store of exactly this name."""
        folder = self._stores.folder
        if (folder / name).is_dir() and is_store(folder / name):
            # Some file systems find a folder by its name in another case, too.
            with os.scandir(folder) as entries:
                if any(entry.name == name for entry in entries):
                    return
        raise UnknownNamespace(
            f"there is no namespace {name!r}; create it with PUT /v1/ns/{name}"
            f"{nearest(name, self._names())}"
        )


def check_name(name: str) -> str:
    """Return the name of a namespace, which is also that of a folder.

    Raises
    ------
    InvalidInput
        The name has other characters than letters, digits, ``.``, ``_`` and ``-`` of ASCII, begins
        with one of the last three, or has more than 64 characters.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"name is {name!r:.100}; the name of a namespace has 1 to {MAX_NAME} letters, digits, "
            "'.', '_' and '-' of ASCII, and begins with a letter or digit",
            field="name",
        )
    return name


def namespaces_of(context: Any) -> Namespaces:
    """Return the namespaces of a server; raise `UnknownNamespace` if it has a single store."""
    found: Namespaces | None = context.namespaces
    if found is None:
        raise UnknownNamespace(
            "this server has one store and no namespaces; start it with --stores DIR for several"
        )
    return found
