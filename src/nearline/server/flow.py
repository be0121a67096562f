"""The flow of events and lists as they happen, for viewers of the dashboard.

Nothing is kept while nobody looks. Entries are collected for a tick and encoded once for all
viewers. A viewer that does not read misses frames; the memory of a flow does not depend on the
number of viewers, nor on how fast they read.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterable
from hashlib import blake2b
from secrets import token_bytes
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nearline.errors import InvalidInput, Overloaded
from nearline.server.paths import decode_utf8

# Seconds in which entries are collected, and the maximum number of entries that a frame shows.
TICK_SECONDS = 0.1
PER_TICK = 20
# Frames that are kept for viewers that are late.
KEPT_FRAMES = 20
MAX_VIEWERS = 200
# Seconds after which an idle stream gets a comment, and after which a stream ends. The dashboard
# then connects again, so that a viewer that is gone or does not read is dropped.
IDLE_SECONDS = 15.0
LONGEST_SECONDS = 300
_USERS = b"/v1/users/"
_LISTS = ("recommendations", "similar", "rank", "popular", "trending", "search")


class FlowEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that was stored, or a list that was answered.

    Attributes
    ----------
    kind : str
        ``event`` or ``list``.
    user, item : str
        IDs, masked unless the viewer asked for them.
    what : str
        Kind of the event, or route of the list.
    milliseconds : float
        Duration of the answer.
    """

    kind: str
    user: str = ""
    item: str = ""
    what: str = ""
    status: int = 0
    milliseconds: float = 0.0


class FlowFrame(Struct, frozen=True, kw_only=True):
    """What happened in one tick: number of events and lists, and some of them."""

    events: int
    lists: int
    entries: list[FlowEntry]


class _Noted(Struct, frozen=True):
    masked: bytes
    plain: bytes

    def text(self, *, masked: bool) -> bytes:
        return self.masked if masked else self.plain


class Flow:
    """Distributes frames to viewers.

    All methods must be called in the thread of the event loop.

    Attributes
    ----------
    viewers : int
        Number of viewers; while it is 0, callers note nothing.
    """

    def __init__(self) -> None:
        self.viewers = 0
        self._salt = token_bytes(16)
        self._entries: list[FlowEntry] = []
        self._events = self._lists = 0
        self._frames: deque[_Noted] = deque(maxlen=KEPT_FRAMES)
        self._count = 0
        self._next: asyncio.Future[None] | None = None
        self._ticking = False
        self._closed = False
        self._parts: weakref.WeakSet[Flow] = weakref.WeakSet()

    def part(self) -> "Flow":
        """Return a flow of its own, which is closed with this one."""
        found = Flow()
        self._parts.add(found)
        return found

    def note_events(self, events: Iterable[tuple[str, str, str]], number: int) -> None:
        """Note events that were stored: user, item and kind of each."""
        self._events += number
        for user, item, kind in events:
            if len(self._entries) >= PER_TICK:
                break
            self._entries.append(FlowEntry(kind="event", user=user, item=item, what=kind))
        self._tick()

    def note_answer(self, path: bytes, route: str, status: int, seconds: float) -> None:
        """Note an answer, if it is a list."""
        if not route.endswith(_LISTS):
            return
        self._lists += 1
        if len(self._entries) < PER_TICK:
            user = ""
            if path.startswith(_USERS):
                user = _decoded(path[len(_USERS) :].partition(b"/")[0])
            spent = round(seconds * 1e3, 3)
            self._entries.append(
                FlowEntry(kind="list", user=user, what=route, status=status, milliseconds=spent)
            )
        self._tick()

    async def stream(
        self, *, masked: bool = True, seconds: float = LONGEST_SECONDS
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events until the flow is closed or `seconds` have passed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        self.viewers += 1
        position = self._count
        try:
            yield b": connected\n\n"
            while not self._closed and loop.time() < end:
                left = max(0.0, end - loop.time())
                if position == self._count and not await self._changed(loop, left):
                    yield b": idle\n\n"
                    continue
                missed = max(0, self._count - position - len(self._frames))
                frames = list(self._frames)[len(self._frames) - (self._count - position - missed) :]
                position = self._count
                if frames:
                    yield b"".join(frame.text(masked=masked) for frame in frames)
        finally:
            self.viewers -= 1

    def check(self) -> None:
        """Raise `Overloaded` if there are as many viewers as allowed."""
        if self.viewers >= MAX_VIEWERS:
            raise Overloaded(f"{MAX_VIEWERS} viewers follow the flow, which is the limit")

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._wake()
        for part in list(self._parts):
            part.close()

    def _tick(self) -> None:
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._flush)

    def _flush(self) -> None:
        self._ticking = False
        frame = FlowFrame(events=self._events, lists=self._lists, entries=self._entries)
        self._entries, self._events, self._lists = [], 0, 0
        masked = replace(frame, entries=[self._masked(entry) for entry in frame.entries])
        self._frames.append(_Noted(_encoded(masked), _encoded(frame)))
        self._count += 1
        self._wake()

    def _wake(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _changed(self, loop: asyncio.AbstractEventLoop, left: float) -> bool:
        """Wait for the next frame; return False if there was none for some time."""
        if self._next is None:
            self._next = loop.create_future()
        try:
            await asyncio.wait_for(asyncio.shield(self._next), min(IDLE_SECONDS, left))
        except TimeoutError:
            return False
        return True

    def _masked(self, entry: FlowEntry) -> FlowEntry:
        return replace(entry, user=self._mask(entry.user), item=self._mask(entry.item))

    def _mask(self, text: str) -> str:
        """Return a short pseudonym that is the same for equal IDs of this process."""
        if not text:
            return ""
        return "~" + blake2b(text.encode(), digest_size=3, key=self._salt).hexdigest()


def _encoded(frame: FlowFrame) -> bytes:
    return b"data: " + msgspec.json.encode(frame) + b"\n\n"


def _decoded(segment: bytes) -> str:
    try:
        return decode_utf8(unquote_to_bytes(segment), "path")
    except InvalidInput:  # a path that was refused
        return ""
