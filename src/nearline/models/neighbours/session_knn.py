"""Nearest neighbours of sessions: items of sessions that share items with the current one."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.data.order import NONE, TIMES
from nearline.errors import InvalidInput
from nearline.kernels.session_index import (
    add_sessions,
    empty_index,
    grown,
    remove_sessions,
    with_sorted_entries,
)
from nearline.kernels.session_parts import session_parts
from nearline.kernels.sessions import score_sessions
from nearline.models.base import (
    ModelPart,
    Range,
    Space,
    check_single,
    check_validation,
    check_weights,
)
from nearline.models.capabilities import SparseScores
from nearline.models.dense_scores import DenseModel
from nearline.models.neighbours.session_settings import (
    NO_DECAY,
    SessionKnnConfig,
    choose,
    positive_events,
    weights_of,
)

# Histories with a larger median length than this are no sessions.
LONGEST_MEDIAN = 5


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
                self.config = choose(
                    self._index, self.config, data, validation, seed=seed, progress=progress
                )
        progress(1, 1, "done")
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 without a neighbour."""
        check_weights(histories)
        rows, _ = self._liked(histories)
        return score_sessions(
            self._index, weights_of(self.config), rows.indptr, rows.items, self._n_items
        )

    def score_sparse(self, history: Histories) -> SparseScores:
        """Return the scores other than 0 for one history; see `ScoresSparsely`."""
        check_single(history)
        scores = self.score_many(history)[0]
        items = np.flatnonzero(scores).astype(np.int32)
        return SparseScores(items, scores[items])

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
        old, new = positive_events(before), _joined(before, events)
        changed = np.diff(old.indptr) != np.diff(new.indptr)
        old, new = (rows.select(np.flatnonzero(changed)) for rows in (old, new))
        self._make_room(len(new), len(new.items), int(new.items.max(initial=-1)) + 1)
        remove_sessions(self._index, old.indptr, old.items, old.times)
        add_sessions(self._index, new.indptr, new.items, new.times)

    def forget(self, histories: Histories) -> None:
        """Remove the sessions of users."""
        rows = positive_events(histories)
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
        rows = positive_events(histories)
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


def has_sessions(data: Dataset) -> bool:
    """Return whether histories are as short as sessions, and have an order."""
    sizes = np.diff(data.histories.indptr)
    sizes = sizes[sizes > 1]
    return data.order != NONE and len(sizes) > 0 and float(np.median(sizes)) <= LONGEST_MEDIAN


def _joined(before: Histories, events: Histories) -> Histories:
    """Return the positive events of both in the order of time; of equal times, old ones first."""
    rows = [np.repeat(np.arange(len(part)), np.diff(part.indptr)) for part in (before, events)]
    users = np.concatenate(rows)
    items, weights, times = (
        np.concatenate((getattr(before, name), getattr(events, name)))
        for name in ("items", "weights", "times")
    )
    order = np.argsort(times, kind="stable")
    return positive_events(
        Histories.group(
            users[order].astype(np.int64), len(before), items[order], weights[order], times[order]
        )
    )
