"""Prequential evaluation: every event is first a test, then a lesson.

J. Gama, R. Sebastião, P. P. Rodrigues, "On evaluating stream learning algorithms", Machine
Learning 90, 2013; for recommenders J. Vinagre, A. M. Jorge, J. Gama, "Evaluation of recommender
systems in streaming environments", REDD workshop at RecSys 2014.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data import leave_one_out
from nearline.errors import InvalidInput
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.replay.policies import POLICIES, Engines, ReplayPolicy
from nearline.replay.stream import Stream
from nearline.schema import DAY

# Waits until the stream's clock stands at a time (Unix seconds).
Pace = Callable[[float], None]


@dataclass(frozen=True)
class ReplayOutcome:
    """Where each evaluated event stood in the list of each policy, right before it happened.

    Attributes
    ----------
    policies : tuple of str
    k : int
        Length of the lists.
    positions : int64 [m]
        Evaluated events, as positions in the stream, rising.
    users : int64 [m]
        A number for the user of each.
    times : float64 [m]
        Unix seconds.
    ranks : int64 [m, policies]
        Place in the list, 1 the first; 0 where the list lacks the item.
    known : bool [m]
        Whether the user had done anything before the last retraining.
    first : bool [m]
        Whether the user had done nothing since the last retraining.
    n_candidates, n_learned : int
        Events that could have been evaluated, and all that were replayed.
    retrainings : int
        After the first training, up to the last event that was evaluated.
    """

    policies: tuple[str, ...]
    k: int
    positions: NDArray[np.int64]
    users: NDArray[np.int64]
    times: NDArray[np.float64]
    ranks: NDArray[np.int64]
    known: NDArray[np.bool_]
    first: NDArray[np.bool_]
    n_candidates: int
    n_learned: int
    retrainings: int


def choose_settings(
    stream: Stream,
    stop: int,
    *,
    settings: ItemGraphConfig | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ItemGraphConfig:
    """Search settings on the first `stop` events: the last event of each user in them decides."""
    split = leave_one_out(stream.dataset(stop))
    model = ItemGraph(settings)
    model.fit(split.train, validation=split.test, seed=seed, progress=progress)
    chosen: ItemGraphConfig = model.config
    return chosen


def replay(
    stream: Stream,
    start: int,
    settings: ItemGraphConfig,
    *,
    policies: Sequence[ReplayPolicy] = POLICIES,
    k: int = 10,
    day: float = DAY,
    sample: int = 0,
    rng: np.random.Generator,
    pace: Pace | None = None,
    progress: Progress = no_progress,
) -> ReplayOutcome:
    """Train on the first `start` events, then replay the others, one by one.

    Events between two evaluated ones are taken in together: learning depends on their order alone.

    Parameters
    ----------
    settings : ItemGraphConfig
        Of every training; nothing is searched here.
    day : float
        Seconds between retrainings: one comes before the first event of each new day.
    sample : int
        Events evaluated at most, drawn by `rng`; 0 for all. All are learned.
    pace : callable or None
        Waits for the time of an event; None replays as fast as possible.

    Raises
    ------
    InvalidInput
        There is nothing to train on or nothing to evaluate; an option is out of range.
    """
    _check(len(stream), start, k, day)
    chosen, n_candidates = _draw(stream, start, sample, rng)
    times = np.array([event.timestamp for event in stream.events])
    midnights = start + 1 + np.flatnonzero(np.diff(np.floor(times[start:] / day)) > 0)
    nights = [start, *midnights.tolist()]
    ranks = np.zeros((len(chosen), len(policies)), dtype=np.int64)
    known, first = (np.zeros(len(chosen), dtype=np.bool_) for _ in range(2))
    with Engines(stream, settings, policies) as engines:
        for row, at in enumerate(chosen.tolist()):
            while nights and nights[0] <= at:
                engines.learn(nights[0])
                engines.retrain(times[nights.pop(0)])
            event = stream.events[at]
            engines.learn(at)
            if pace is not None:
                pace(event.timestamp)
            lists = engines.lists(event.user_id, k, event.timestamp)
            ranks[row] = [_place(event.item_id, items) for items in lists]
            known[row] = engines.known_last_night(event.user_id)
            first[row] = not engines.since_last_night(event.user_id)
            progress(at - start, len(stream) - start, "replay")
    progress(len(stream) - start, len(stream) - start, "replay")
    users = np.unique([stream.events[at].user_id for at in chosen], return_inverse=True)[1]
    return ReplayOutcome(
        policies=tuple(policy.name for policy in policies),
        k=k,
        positions=chosen,
        users=users.astype(np.int64),
        times=times[chosen],
        ranks=ranks,
        known=known,
        first=first,
        n_candidates=n_candidates,
        n_learned=len(stream) - start,
        retrainings=len(midnights) - len(nights),
    )


def _draw(
    stream: Stream, start: int, sample: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Draw the events to evaluate, rising; return also how many there were to draw from."""
    candidates = start + np.flatnonzero(stream.new[start:])
    if len(candidates) == 0:
        raise InvalidInput(
            f"none of the {len(stream) - start} events after the warm-up is new to its user; "
            "shorten the warm-up or give more data",
            field="warm_up",
        )
    if 0 < sample < len(candidates):
        return np.sort(rng.permutation(candidates)[:sample]), len(candidates)
    return candidates, len(candidates)


def real_time(
    begin: float,
    speed: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object],
) -> Pace:
    """Pace a stream that begins at `begin` (Unix seconds) at `speed` times real time.

    A stream that falls behind is not sped up beyond what the engine can do.
    """
    if not 0.0 < speed < math.inf:
        raise InvalidInput(f"speed is {speed}; it must be above 0", field="speed")
    started = clock()

    def pace(when: float) -> None:
        left = started + (when - begin) / speed - clock()
        if left > 0.0:
            wait(left)

    return pace


def _check(n_events: int, start: int, k: int, day: float) -> None:
    if not 0 < start < n_events:
        raise InvalidInput(
            f"the warm-up has {start} of {n_events} events; it needs one at least, and one must "
            "be left to replay",
            field="warm_up",
        )
    if k < 1:
        raise InvalidInput(f"k is {k}; it must be at least 1", field="k")
    if not 0.0 < day < math.inf:
        raise InvalidInput(f"day is {day}; it must be above 0 seconds", field="day")


def _place(item_id: str, items: list[str]) -> int:
    return items.index(item_id) + 1 if item_id in items else 0
