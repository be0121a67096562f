"""Prequential (test-then-train) evaluation of learning policies on a stream of events.

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
from nearline.models.base import check_k
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.replay.policies import POLICIES, Engines, ReplayPolicy
from nearline.replay.stream import Stream
from nearline.schema import DAY

# Waits until the replay may reach a time of the stream (Unix seconds).
Pace = Callable[[float], None]


@dataclass(frozen=True)
class ReplayOutcome:
    """Ranks of the items of m evaluated events in the lists computed just before each event.

    Attributes
    ----------
    policies : tuple of str
        Names of the policies.
    k : int
        Length of the lists.
    positions : int64 [m]
        Positions of the evaluated events in the stream, ascending.
    users : int64 [m]
        Index of the user of each evaluated event, from 0.
    times : float64 [m]
        Time of each evaluated event, in Unix seconds.
    ranks : int64 [m, policies]
        Rank of the item in each policy's list, from 1; 0 if it is not in the list.
    known : bool [m]
        Whether the user had an event before the last retraining.
    first : bool [m]
        Whether the event is the user's first since the last retraining.
    n_candidates, n_learned : int
        Number of events that could be evaluated, and number of events that were replayed.
    retrainings : int
        Number of retrainings after the initial training, up to the last evaluated event.
    repeats : bool
        Whether lists included items of the history, and repeated events were evaluated.
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
    repeats: bool = False


def choose_settings(
    stream: Stream,
    stop: int,
    *,
    settings: ItemGraphConfig | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ItemGraphConfig:
    """Search settings of the item graph on the first events of a stream.

    Parameters
    ----------
    stream : Stream
        Events in order of time.
    stop : int
        Number of events to use. The last event of each user is held out for validation.
    settings : ItemGraphConfig or None
        Initial settings; None uses the defaults.
    seed : int
        Seed of the fit.
    progress : callable
        Progress callback.

    Returns
    -------
    ItemGraphConfig
        The settings that were chosen.
    """
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
    """Train on the first events of a stream, then replay the others in order of time.

    For each evaluated event, every policy first recommends `k` items to the user; then the event
    is learned. Events between two evaluated ones are appended in one batch, since only their order
    affects learning.

    Parameters
    ----------
    stream : Stream
        Events in order of time.
    start : int
        Number of events of the warm-up, which are trained on and not evaluated.
    settings : ItemGraphConfig
        Settings of every training run.
    policies : sequence of ReplayPolicy
        Policies to compare.
    k : int
        Length of the lists.
    day : float
        Seconds between retrainings; models are retrained before the first event of each day.
    sample : int
        Maximum number of evaluated events, drawn with `rng`; 0 evaluates all. Every event is
        learned.
    rng : Generator
        Source of randomness of the sample.
    pace : callable or None
        Called with the time of an event before its lists are computed; waits until then. None
        replays as fast as possible.
    progress : callable
        Progress callback.

    Raises
    ------
    InvalidInput
        There is no event to train on or to evaluate, or an option is out of range.
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
        repeats=stream.repeats,
    )


def _draw(
    stream: Stream, start: int, sample: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Return the positions of the events to evaluate, ascending, and the number of candidates."""
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
    """Return a function that makes a replay run at a multiple of real time.

    A replay that is late is not delayed: it continues as fast as possible.

    Parameters
    ----------
    begin : float
        Time of the stream in Unix seconds at which the replay begins.
    speed : float
        Seconds of the stream per second of real time.
    clock : callable
        Monotonic clock in seconds.
    wait : callable
        Waits for a number of seconds.

    Raises
    ------
    InvalidInput
        `speed` is not positive and finite.
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
            f"the warm-up has {start} of {n_events} events; it needs at least one, and at least "
            "one must be left to replay",
            field="warm_up",
        )
    check_k(k)
    if not 0.0 < day < math.inf:
        raise InvalidInput(f"day is {day}; it must be above 0 seconds", field="day")


def _place(item_id: str, items: list[str]) -> int:
    return items.index(item_id) + 1 if item_id in items else 0
