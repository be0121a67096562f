"""Responses to batch requests, which are computed in pieces and yield to other requests."""

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType

import msgspec

from nearline.engine import Recommender
from nearline.schema import ListOptions, ScoredItem, check_id, narrowed
from nearline.server.bodies import BatchIn, UserItems
from nearline.server.decoding import convert_each
from nearline.server.traffic import Traffic

# Users whose lists are computed at a time, and items that are encoded at a time.
BLOCK_USERS = 256
PIECE_ITEMS = 2_000
# Factor of the duration of a piece for which a batch yields to other requests, and the seconds
# between two checks whether there are any.
YIELD_SHARE = 2.0
CHECK_SECONDS = 0.001


class BatchTurns:
    """Lets one batch be computed at a time, since each uses all cores, and yields in between.

    Parameters
    ----------
    traffic : Traffic
        Number of requests in flight, batches included.
    timer, sleep : callable
        Monotonic clock in seconds, and a function that waits for some seconds.
    """

    def __init__(
        self,
        traffic: Traffic,
        timer: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._traffic = traffic
        self._timer = timer
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._batches = 0
        self._begin = 0.0

    async def __aenter__(self) -> None:
        self._batches += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._batches -= 1
            raise
        self._begin = self._timer()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._batches -= 1
        self._lock.release()

    def give_way(self) -> None:
        """Wait while requests other than batches are in flight; called by the batch's thread.

        The wait is at most twice as long as the last piece took, so that a batch also ends under
        constant load.
        """
        now = self._timer()
        until = now + YIELD_SHARE * (now - self._begin)
        while self._traffic.in_flight > self._batches and self._timer() < until:
            self._sleep(CHECK_SECONDS)
        self._begin = self._timer()


def answer_batch(engine: Recommender, question: BatchIn, give_way: Callable[[], None]) -> bytes:
    """Compute the lists of many users; return a `BatchOut`, encoded as JSON.

    The function returns when all lists are computed, so it must be called in a thread; it calls
    `give_way` after each piece. A user who occurs twice in the request occurs twice in the answer.
    """
    convert_each(question.user_ids, lambda user_id: check_id(user_id, "user_ids"))
    users = list(dict.fromkeys(question.user_ids))
    options = msgspec.structs.asdict(narrowed(question, ListOptions))
    names = question.fields
    while True:
        model, offset = engine.model_id, engine.offset
        found = dict(
            engine.recommend_lists(
                users, block_users=BLOCK_USERS, progress=lambda *_: give_way(), **options
            )
        )
        if engine.model_id == model:
            break  # otherwise a promotion came in between, and the lists may be of either model
    parts = []
    k = engine.resolved(question).k or 1
    for some in _pieces(question.user_ids, max(1, PIECE_ITEMS // k)):
        lists = [
            UserItems(
                user_id=user_id,
                items=[
                    ScoredItem(item_id, score, engine.fields(item_id, names) if names else {})
                    for item_id, score in found[user_id]
                ],
            )
            for user_id in some
        ]
        parts.append(msgspec.json.encode(lists)[1:-1])  # without the brackets
        give_way()
    return b'{"items":[%b],"model":%b,"offset":%d}' % (
        b",".join(parts),
        msgspec.json.encode(model),
        offset,
    )


def _pieces(values: list[str], size: int) -> Iterable[list[str]]:
    """Yield a list in pieces of at most `size` values."""
    return (values[first : first + size] for first in range(0, len(values), size))
