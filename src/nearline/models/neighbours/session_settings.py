"""Settings of session kNN, and their choice by validation data."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from nearline.common.progress import Progress
from nearline.data.dataset import Dataset, Histories
from nearline.data.order import TIMES
from nearline.kernels.session_index import SessionIndex
from nearline.kernels.sessions import SessionWeights, rank_targets
from nearline.models.settings import require
from nearline.models.validation import draw_users
from nearline.schema import DAY

# Length of the lists by which settings are chosen, and minimum number of sessions with a target.
CUTOFF, FEWEST = 10, 100
ROUNDS = 2
# A half-life of this or more is none.
NO_DECAY = 1e9
# Length of the tables of powers; longer sessions and more sessions of an item count like this.
TABLE = 10_000


class SessionKnnConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `SessionKnn`.

    Attributes
    ----------
    half_life : float
        Number of later events of the current session after which the weight of an item is halved.
    power : float
        Exponent of the sum of the weights of the shared items; above 1, sessions that share several
        items count more.
    length_exponent : float
        A session with n events is divided by ``n ** length_exponent``.
    gap_power : float
        Exponent by which items of a session count less with their distance to the most recent
        shared item.
    backward : float
        Factor of items before this item.
    source_exponent, target_exponent : float
        Exponents of the number of sessions of a shared item, and of a scored item, by which scores
        are divided.
    recency : float
        Half-life of sessions in days; 0 for none.
    repeat_last, repeat, repeat_older : float
        Factors of the scores of items of the current session: of its last item, of those up to 3
        events before it, and of older ones.
    reach : int
        Largest distance, in events, between a scored item and the most recent shared item.
    max_history : int
        Number of most recent events of the current session that are used.
    most_sessions : int
        Number of most recent sessions of each item that are used.
    second : float
        Share of a second step, in which the best items are taken for sessions of one item each; 0
        for none. It finds more items, and takes the time of `expanded` answers.
    expanded : int
        Number of best items from which the second step starts.
    sample : int
        Maximum number of sessions by which a fit with validation data chooses settings.
    evaluations : int
        Maximum number of settings that it tries, without those of the second step; 0 disables the
        choice.
    """

    half_life: float = 1.0
    power: float = 1.5
    length_exponent: float = 0.3
    gap_power: float = 0.7
    backward: float = 0.7
    source_exponent: float = 0.3
    target_exponent: float = 0.1
    recency: float = 0.0
    repeat_last: float = 1.0
    repeat: float = 2.0
    repeat_older: float = 2.0
    reach: int = 15
    max_history: int = 30
    most_sessions: int = 2_000
    second: float = 0.0
    expanded: int = 15
    sample: int = 3_000
    evaluations: int = 80

    def __post_init__(self) -> None:
        require(self, "half_life", 0, NO_DECAY, above=True)
        require(self, "power", 0, 10)
        for field in ("length_exponent", "gap_power", "source_exponent", "target_exponent"):
            require(self, field, -5, 5)
        for field in ("backward", "repeat_last", "repeat", "repeat_older"):
            require(self, field, 0, 1e6)
        require(self, "recency", 0, 1e6)
        require(self, "reach", 1, 1_000)
        require(self, "max_history", 1, 1_000)
        require(self, "most_sessions", 1, 1_000_000)
        require(self, "second", 0, 0.999)
        require(self, "expanded", 1, 1_000)
        require(self, "sample", 1, 1_000_000)
        require(self, "evaluations", 0, 100_000)


class _SessionStep(NamedTuple):
    """Setting that a fit with validation data changes: its step, as a factor or a summand."""

    field: str
    step: float
    low: float
    high: float
    scale: bool = True


STEPS = (
    _SessionStep("half_life", 0.6, 0.2, 100.0),
    _SessionStep("repeat_last", 2.0, 0.01, 100.0),
    _SessionStep("repeat", 1.0, 0.01, 100.0),
    _SessionStep("repeat_older", 1.0, 0.01, 100.0),
    _SessionStep("power", 0.3, 0.2, 4.0, scale=False),
    _SessionStep("gap_power", 0.3, 0.0, 4.0, scale=False),
    _SessionStep("backward", 0.6, 0.02, 2.0),
    _SessionStep("length_exponent", 0.3, -1.0, 2.0, scale=False),
    _SessionStep("source_exponent", 0.2, -0.5, 2.0, scale=False),
    _SessionStep("target_exponent", 0.15, -0.5, 1.0, scale=False),
)
# Half-lives of sessions, in days, that are tried.
RECENCIES = (1.0, 4.0, 15.0, 60.0, 250.0)
# Shares of the second step that are tried at the end.
SECONDS = (0.2, 0.35, 0.5, 0.65)


@lru_cache(maxsize=64)
def weights_of(config: SessionKnnConfig) -> SessionWeights:
    """Return the settings as tables for the kernel."""
    numbers = np.arange(TABLE, dtype=np.float64)
    after = np.maximum(numbers[: config.reach + 1], 1.0) ** -config.gap_power
    return SessionWeights(
        power=config.power,
        half_life=config.half_life,
        recency=config.recency * DAY,
        lengths=np.maximum(numbers, 1.0) ** -config.length_exponent,
        sources=(numbers + 1.0) ** -config.source_exponent,
        targets=(numbers + 1.0) ** -config.target_exponent,
        after=after,
        before=config.backward * after,
        repeats=np.array([config.repeat_last, *[config.repeat] * 3, config.repeat_older]),
        max_history=config.max_history,
        most_sessions=config.most_sessions,
        second=config.second,
        expanded=config.expanded,
    )


class _SessionObjective:
    """Objective of the choice: NDCG@10 of lists with the items of the session, for given targets.

    Attributes
    ----------
    left : int
        Number of settings that may still be evaluated.
    """

    def __init__(
        self, index: SessionIndex, histories: Histories, truth: Histories, left: int
    ) -> None:
        self.left = left
        self._index, self._rows = index, positive_events(histories)
        # The last known positive target of each row, which has at least one.
        rows = positive_events(truth)
        self._targets = rows.items[rows.indptr[1:] - 1]

    def __call__(self, config: SessionKnnConfig) -> float:
        self.left -= 1
        rows = self._rows
        ranks = rank_targets(
            self._index, weights_of(config), rows.indptr, rows.items, self._targets
        )
        return float(np.where(ranks < CUTOFF, 1 / np.log2(ranks + 2.0), 0.0).mean())


def choose(
    index: SessionIndex,
    config: SessionKnnConfig,
    data: Dataset,
    validation: Histories,
    *,
    seed: int,
    progress: Progress,
) -> SessionKnnConfig:
    """Change one setting at a time while NDCG@10 improves, in smaller steps each round."""
    users = draw_users(validation, config.sample, seed)
    if len(users) < FEWEST or config.evaluations == 0:
        return config
    histories, truth = data.histories.select(users), validation.select(users)
    quality = _SessionObjective(index, histories, truth, config.evaluations)
    best, top = config, quality(config)
    for days in RECENCIES if data.order == TIMES else ():
        other = replace(best, recency=days)
        if quality.left > 0 and (found := quality(other)) > top:
            best, top = other, found
    for number in range(ROUNDS):
        for step in STEPS:
            progress(config.evaluations - quality.left, config.evaluations, "search")
            best, top = _move(quality, best, top, step, number)
    for share in SECONDS:
        other = replace(best, second=share)
        if (found := quality(other)) > top:
            best, top = other, found
    return best


def _move(
    quality: _SessionObjective, best: SessionKnnConfig, top: float, step: _SessionStep, number: int
) -> tuple[SessionKnnConfig, float]:
    """Change one setting while the objective improves; return the best settings and its value."""
    for direction in (1, -1):
        moved = False
        while quality.left > 0 and (other := _turned(best, step, direction, number)) != best:
            found = quality(other)
            if found <= top:
                break
            best, top, moved = other, found, True
        if moved:
            break
    return best, top


def _turned(
    config: SessionKnnConfig, step: _SessionStep, direction: int, number: int
) -> SessionKnnConfig:
    """Return settings in which one is changed by a step, within its bounds."""
    size, old = step.step / 2**number, getattr(config, step.field)
    new = old * (1.0 + size) ** direction if step.scale else old + direction * size
    new = float(f"{min(max(new, step.low), step.high):.4g}")
    return replace(config, **{step.field: new})


def positive_events(histories: Histories) -> Histories:
    """Return the events of known items with a positive weight."""
    return histories.take((histories.weights > 0) & (histories.items >= 0))
