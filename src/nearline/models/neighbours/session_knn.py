"""Nearest neighbours of sessions: items of sessions that share items with the current one."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray, OffsetArray
from nearline.data.order import NONE, TIMES
from nearline.errors import InvalidInput
from nearline.kernels.sessions import (
    SessionWeights,
    add_sessions,
    empty_index,
    grown,
    rank_targets,
    remove_sessions,
    score_sessions,
    session_parts,
    with_sorted_entries,
)
from nearline.models.base import (
    ModelPart,
    Range,
    Space,
    check_single,
    check_validation,
    check_weights,
)
from nearline.models.dense_scores import DenseModel
from nearline.models.settings import require
from nearline.models.validation import draw_users
from nearline.schema import DAY

# Sessions are shorter than this; it separates clicks of a visit from histories of years.
LONGEST_MEDIAN = 5
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


class _Step(NamedTuple):
    """Setting that a fit with validation data changes: its step, as a factor or a summand."""

    field: str
    step: float
    low: float
    high: float
    scale: bool = True


STEPS = (
    _Step("half_life", 0.6, 0.2, 100.0),
    _Step("repeat_last", 2.0, 0.01, 100.0),
    _Step("repeat", 1.0, 0.01, 100.0),
    _Step("repeat_older", 1.0, 0.01, 100.0),
    _Step("power", 0.3, 0.2, 4.0, scale=False),
    _Step("gap_power", 0.3, 0.0, 4.0, scale=False),
    _Step("backward", 0.6, 0.02, 2.0),
    _Step("length_exponent", 0.3, -1.0, 2.0, scale=False),
    _Step("source_exponent", 0.2, -0.5, 2.0, scale=False),
    _Step("target_exponent", 0.15, -0.5, 1.0, scale=False),
)
# Half-lives of sessions, in days, that are tried.
RECENCIES = (1.0, 4.0, 15.0, 60.0, 250.0)
# Shares of the second step that are tried at the end.
SECONDS = (0.2, 0.35, 0.5, 0.65)


class SessionKnn(DenseModel):
    """Recommend items of sessions that share items with the current session.

    A session is the history of a user. Its value for the current session is the sum of the weights
    of the items that both share, which decay with the age of the item in the current session, to a
    power; it decays with the length and the age of the session. It is added to the scores of all
    items of the session, multiplied by a factor that decays with their distance to the most recent
    shared item.

    D. Jannach, M. Ludewig, "When recurrent neural networks meet the neighborhood for session-based
    recommendation", RecSys 2017; M. Ludewig, D. Jannach, "Evaluation of session-based
    recommendation algorithms", UMUAI 28, 2018 (weights by position and inverse popularity);
    D. Garg, P. Gupta, P. Malhotra, L. Vig, G. Shroff, "Sequence and time aware neighborhood for
    session-based recommendations: STAN", SIGIR 2019. Instead of the most similar sessions, all of
    the most recent sessions of each item are used, so that a score is a sum over the events of the
    current session, and `explain` is exact.

    Use it for short histories, such as the clicks of one visit. The model contains all sessions and
    learns online: an event extends its session, and `forget` removes the sessions of a user.
    Training takes seconds. An answer takes time proportional to the number of events of the
    sessions that share items, plus O(n_items).
    """

    name: ClassVar[str] = "session_knn"
    config_type: ClassVar[type[Struct]] = SessionKnnConfig
    tunes_itself: ClassVar[bool] = True
    _floor = 0.0
    space: ClassVar[Space] = {
        "half_life": Range(0.3, 30.0, log=True),
        "power": Range(0.5, 3.0),
        "length_exponent": Range(0.0, 1.5),
        "gap_power": Range(0.0, 2.0),
        "backward": Range(0.05, 1.0, log=True),
        "source_exponent": Range(0.0, 1.0),
        "target_exponent": Range(0.0, 0.5),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._index = empty_index(0, 0, 0)
        self._n_items = 0

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return self._n_items

    @property
    def n_sessions(self) -> int:
        """Number of sessions in the index."""
        return int((self._index.lengths > 0).sum())

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Store all sessions; with `validation`, choose settings by NDCG@10 on the last target.

        Lists with the items of the session are used for this choice, and at least 100 sessions with
        targets are needed.
        """
        check_weights(data.histories)
        if data.order != TIMES:
            self.config = replace(self.config, recency=0.0)
        if data.order == NONE:
            self.config = replace(self.config, half_life=NO_DECAY, gap_power=0.0, backward=1.0)
        self._store(data.counted_histories, data.n_items, sort=data.order == TIMES)
        self.fitted_on = data.histories
        if validation is not None:
            check_validation(validation, data)
            if data.order != NONE:
                self._choose(data, validation, seed, progress)
        progress(1, 1, "done")
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without a neighbour."""
        check_weights(histories)
        rows, _ = self._liked(histories)
        return score_sessions(
            self._index, weights_of(self.config), rows.indptr, rows.items, self._n_items
        )

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return a part of the score of `item` for each item of the session, oldest first.

        The value of each neighbour is distributed over the shared items, in proportion to their
        weights. The part of an item belongs to its last event.
        """
        check_single(history)
        if not 0 <= item < self._n_items:
            return []
        rows, kept = self._liked(history)
        amounts = session_parts(
            self._index, weights_of(self.config), rows.items, item, self._n_items
        )
        return [
            ModelPart(int(event), self.name, float(amount))
            for event, amount in zip(np.flatnonzero(kept), amounts, strict=True)
            if amount
        ]

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add items; texts and vectors are not used."""
        del vectors
        if len(items) != len(texts):
            raise InvalidInput(f"there are {len(items)} items but {len(texts)} texts")
        if len(items):
            self._make_room(0, 0, max(items) + 1)

    def observe(self, before: Histories, events: Histories) -> None:
        """Extend the sessions of some users by new events, and make them the most recent ones."""
        old, new = _positive(before), _joined(before, events)
        changed = np.diff(old.indptr) != np.diff(new.indptr)
        old, new = (rows.select(np.flatnonzero(changed)) for rows in (old, new))
        self._make_room(len(new), len(new.items), int(new.items.max(initial=-1)) + 1)
        remove_sessions(self._index, old.indptr, old.items, old.times)
        add_sessions(self._index, new.indptr, new.items, new.times)

    def forget(self, histories: Histories) -> None:
        """Remove the sessions of users."""
        rows = _positive(histories)
        rows = rows.take(rows.items < self._n_items)
        remove_sessions(self._index, rows.indptr, rows.items, rows.times)

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Replace all sessions by `histories`; the settings are kept."""
        self._store(histories, max(n_items, self._n_items), sort=True)

    def preallocate(self, events: int) -> None:
        """Allocate memory for `events` more events."""
        self._make_room(events, 8 * events, self._n_items)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the sessions without user IDs, and the number of items."""
        index = self._index
        kept = np.flatnonzero(index.lengths)
        sizes = index.lengths[kept].astype(np.int64)
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(index.starts[kept] - indptr[:-1], sizes)
        return {
            "indptr": indptr,
            "items": index.events[take],
            "times": index.times[kept],
            "n_items": np.array([self._n_items], dtype=np.int64),
        }

    def _load(self, arrays: dict[str, NDArray[Any]]) -> None:
        indptr, items = np.asarray(arrays["indptr"]), np.asarray(arrays["items"])
        times = np.repeat(arrays["times"], np.diff(indptr))
        self._n_items = int(arrays["n_items"][0])
        index = empty_index(len(indptr) - 1, len(items), self._n_items)
        add_sessions(index, indptr.copy(), items.copy(), times)
        self._index = with_sorted_entries(index)

    def _store(self, histories: Histories, n_items: int, *, sort: bool) -> None:
        """Replace the index; with `sort`, the order of sessions is that of their last events."""
        rows = _positive(histories)
        filled = np.flatnonzero(np.diff(rows.indptr))
        if sort:
            filled = filled[np.argsort(rows.times[rows.indptr[filled + 1] - 1], kind="stable")]
        rows = rows.select(filled)
        self._n_items = n_items
        index = empty_index(len(rows), len(rows.items), n_items)
        add_sessions(index, rows.indptr, rows.items, rows.times)
        self._index = with_sorted_entries(index)

    def _make_room(self, sessions: int, events: int, n_items: int) -> None:
        """Make room for more sessions and events, and for `n_items` items in total."""
        index, used = self._index, self._index.used
        room = (len(index.lengths), len(index.events), len(index.heads))
        needed = (int(used[0]) + sessions, int(used[1]) + events, n_items)
        if any(need > have for need, have in zip(needed, room, strict=True)):
            larger = (
                max(have, need + need // 4 + 16) if need > have else have
                for need, have in zip(needed, room, strict=True)
            )
            self._index = grown(index, *larger)
        self._n_items = max(self._n_items, n_items)

    def _liked(self, histories: Histories) -> tuple[Histories, NDArray[np.bool_]]:
        """Return the events that count, and which of all events these are."""
        kept = (histories.weights > 0) & (histories.items >= 0) & (histories.items < self._n_items)
        return histories.take(kept), kept

    def _choose(self, data: Dataset, validation: Histories, seed: int, progress: Progress) -> None:
        """Change one setting at a time while NDCG@10 improves, in smaller steps each round."""
        users = draw_users(validation, self.config.sample, seed)
        if len(users) < FEWEST or self.config.evaluations == 0:
            return
        rows, _ = self._liked(data.histories.select(users))
        targets = _last_targets(validation.select(users))
        left = most = self.config.evaluations

        def quality(config: SessionKnnConfig) -> float:
            nonlocal left
            left -= 1
            progress(min(most - left, most), most, "search")
            self.config = config
            ranks = rank_targets(
                self._index, weights_of(self.config), rows.indptr, rows.items, targets
            )
            return float(np.where(ranks < CUTOFF, 1 / np.log2(ranks + 2.0), 0.0).mean())

        best: SessionKnnConfig = self.config
        top = quality(best)
        for days in RECENCIES if data.order == TIMES else ():
            other = replace(best, recency=days)
            if left > 0 and (found := quality(other)) > top:
                best, top = other, found
        for number in range(ROUNDS):
            for step in STEPS:
                for direction in (1, -1):
                    moved = False
                    while left > 0 and (other := _turned(best, step, direction, number)) != best:
                        found = quality(other)
                        if found <= top:
                            break
                        best, top, moved = other, found, True
                    if moved:
                        break
        for share in SECONDS:
            if (found := quality(other := replace(best, second=share))) > top:
                best, top = other, found
        self.config = best


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


def has_sessions(data: Dataset) -> bool:
    """Return whether histories are as short as sessions, and have an order."""
    sizes = np.diff(data.histories.indptr)
    sizes = sizes[sizes > 1]
    return data.order != NONE and len(sizes) > 0 and float(np.median(sizes)) <= LONGEST_MEDIAN


def _turned(config: SessionKnnConfig, step: _Step, direction: int, number: int) -> SessionKnnConfig:
    """Return settings in which one is changed by a step, within its bounds."""
    size, old = step.step / 2**number, getattr(config, step.field)
    new = old * (1.0 + size) ** direction if step.scale else old + direction * size
    new = float(f"{min(max(new, step.low), step.high):.4g}")
    return replace(config, **{step.field: new})


def _positive(histories: Histories) -> Histories:
    """Return the events of known items with a positive weight."""
    return histories.take((histories.weights > 0) & (histories.items >= 0))


def _joined(before: Histories, events: Histories) -> Histories:
    """Return the positive events of both in the order of time; of equal times, old ones first."""
    rows = [np.repeat(np.arange(len(part)), np.diff(part.indptr)) for part in (before, events)]
    users = np.concatenate(rows)
    items, weights, times = (
        np.concatenate((getattr(before, name), getattr(events, name)))
        for name in ("items", "weights", "times")
    )
    order = np.argsort(times, kind="stable")
    return _positive(
        Histories.group(
            users[order].astype(np.int64), len(before), items[order], weights[order], times[order]
        )
    )


def _last_targets(truth: Histories) -> IntArray:
    """Return the last known positive target of each row, which has at least one: int32 [n]."""
    rows = _positive(truth)
    ends: OffsetArray = rows.indptr[1:] - 1
    return rows.items[ends]
