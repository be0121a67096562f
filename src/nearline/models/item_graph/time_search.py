"""Search for the terms of the score of returning users, on splits by time.

The settings of the relations are chosen on the next event of each user. How much what is popular
lately, and what the user had before, should count for users who return is chosen by another
question: what happens after a point in time, if everything before it is known?
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, is_over
from nearline.data.clock import FIRST_CLOCK_TIME
from nearline.data.dataset import Dataset, Histories
from nearline.data.order import TIMES
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.time_config import Lately, Repeats
from nearline.models.validation import ndcg_of_lists
from nearline.schema.times import DAY

if TYPE_CHECKING:
    from nearline.models.item_graph.model import ItemGraph

# Parts of the log, from the end, whose events are predicted from everything before them.
CUTS = (0.2, 0.4)
SHARE = 0.2
# With more interactions, one part is enough.
LARGE = 1_000_000
# Minimum number of targets and length of the log, below which nothing is chosen.
FEWEST_TARGETS = 100
SHORTEST = 5 * DAY
# Repeats are the truth if at least this share of the targets repeats an item of the history.
REPEAT_SHARE = 0.1
# A difference counts if its mean is this many standard errors above zero.
SIGNIFICANT = 2.0
ROUNDS = 2


class Question(NamedTuple):
    """A model that was fitted on the events before a point in time, and what happened after it.

    Attributes
    ----------
    model : ItemGraph
    histories, targets, fresh : Histories
        Histories of users with targets, all targets, and those that are not in the history.
    """

    model: "ItemGraph"
    histories: Histories
    targets: Histories
    fresh: Histories


class Found(NamedTuple):
    """Result of the search.

    Attributes
    ----------
    config : ItemGraphConfig
        The settings with the terms that were chosen.
    repeat_share : float
        Share of the targets that are in the history of their user.
    repeats : bool
        Whether repeats are the truth: they are frequent, and lists with seen items are
        significantly better.
    """

    config: ItemGraphConfig
    repeat_share: float
    repeats: bool


Values = NDArray[np.float64]
Change = Callable[[ItemGraphConfig], ItemGraphConfig]


def choose_time_terms(
    data: Dataset,
    config: ItemGraphConfig,
    fit: Callable[[ItemGraphConfig, Dataset], "ItemGraph"],
    *,
    seed: int,
    progress: Progress,
) -> Found | None:
    """Choose the settings `lately` and `repeats`; None without real times or enough targets.

    Parameters
    ----------
    data : Dataset
        Training data.
    config : ItemGraphConfig
        Settings, of which those of the relations are kept.
    fit : callable
        Fits a model with given settings, without a search, that counts recent events.
    seed : int
        Seed of the sample of users.
    progress : callable
        Progress callback.
    """
    times = data.histories.times
    if config.search.evaluations < 1 or data.order != TIMES or len(times) == 0:
        return None
    if np.median(times) < FIRST_CLOCK_TIME or np.ptp(times) < SHORTEST:
        return None
    config = replace(config, lately=Lately(), repeats=Repeats())
    questions = list(_questions(data, config, fit, seed))
    if sum(len(one.targets.items) for one in questions) < FEWEST_TARGETS:
        return None
    search = _TimeSearch(questions, config.search.cutoff, progress)
    plain = search.values(config, seen=False)
    chosen = search.climb(config, plain, _starts(), _moves(config), seen=False)
    share = 1 - sum(len(q.fresh.items) for q in questions) / sum(
        len(q.targets.items) for q in questions
    )
    repeats = False
    if share >= REPEAT_SHARE:
        without = search.values(chosen, seen=False, all_targets=True)
        before = search.values(chosen, seen=True)
        chosen = search.climb(chosen, before, _repeat_starts(), _repeat_moves(), seen=True)
        repeats = _better(search.values(chosen, seen=True), without)
    return Found(chosen, share, repeats)


def _questions(
    data: Dataset,
    config: ItemGraphConfig,
    fit: Callable[[ItemGraphConfig, Dataset], "ItemGraph"],
    seed: int,
) -> Sequence[Question]:
    times = data.histories.times
    found = []
    for cut in CUTS[: 1 if data.n_interactions > LARGE else None]:
        start, stop = np.quantile(times, (1 - cut, 1 - cut + SHARE), method="lower")
        past = data.take(times <= start).without_superseded()
        future = data.histories.take((times > start) & (times <= stop)).without_superseded()
        future = future.take((future.weights > 0) & (future.items >= 0))
        sizes = np.diff(past.histories.indptr)
        users = np.flatnonzero((sizes > 0) & (np.diff(future.indptr) > 0))
        drawn = np.random.default_rng(seed).permutation(users)
        drawn = np.sort(drawn[np.cumsum(sizes[drawn]) <= config.search.events // len(CUTS)])
        if len(drawn) == 0:
            continue
        histories, targets = past.histories.select(drawn), future.select(drawn)
        seen = _pairs(histories, data.n_items)
        fresh = targets.take(~np.isin(_pairs(targets, data.n_items), seen))
        found.append(Question(fit(config, past), histories, targets, fresh))
    return found


def _pairs(histories: Histories, n_items: int) -> NDArray[np.int64]:
    rows = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
    pairs: NDArray[np.int64] = rows.astype(np.int64) * (n_items + 1) + histories.items
    return pairs


class _TimeSearch:
    """Climbs NDCG@k on all questions together, by one change of the settings at a time."""

    def __init__(self, questions: Sequence[Question], k: int, progress: Progress) -> None:
        self._questions, self._k = questions, k
        self._progress, self._done = progress, 0

    def values(
        self, config: ItemGraphConfig, *, seen: bool, all_targets: bool | None = None
    ) -> Values:
        """Return NDCG@k of each user with a target; `seen`: lists may include seen items."""
        self._done += 1
        self._progress(self._done, 0, "search")
        found = []
        for one in self._questions:
            one.model.set_time_terms(config)
            lists = one.model.recommend_from(one.histories, self._k, exclude_seen=not seen)
            targets = one.targets if (seen if all_targets is None else all_targets) else one.fresh
            values = ndcg_of_lists(lists.items, targets)
            found.append(values[~np.isnan(values)])
        return np.concatenate(found)

    def climb(
        self,
        config: ItemGraphConfig,
        plain: Values,
        starts: Sequence[Change],
        moves: Sequence[Sequence[Change]],
        *,
        seen: bool,
    ) -> ItemGraphConfig:
        """Return the best settings that were found, if they are significantly better."""
        if len(plain) == 0:
            return config
        best, value, values = config, float(plain.mean()), plain

        def attempt(changed: ItemGraphConfig) -> bool:
            nonlocal best, value, values
            if changed == best or is_over(self._progress):
                return False
            found = self.values(changed, seen=seen)
            if found.mean() > value:
                best, value, values = changed, float(found.mean()), found
                return True
            return False

        for start in starts:
            attempt(start(config))
        for _ in range(ROUNDS):
            for group in moves:
                for move in group:
                    if attempt(move(best)):
                        while attempt(move(best)):
                            pass
                        break
        return best if _better(values, plain) else config


def _better(values: Values, others: Values) -> bool:
    """Return whether paired values are significantly larger."""
    difference = values - others
    error = difference.std() / np.sqrt(len(difference))
    return bool(difference.mean() > SIGNIFICANT * error)


def _lately(**fields: object) -> Change:
    return lambda config: replace(config, lately=replace(config.lately, **fields))


def _repeated(**fields: object) -> Change:
    return lambda config: replace(config, repeats=replace(config.repeats, **fields))


def _starts() -> list[Change]:
    """Return combinations of patience, rise and weights of half-lives to begin with."""
    mixes = ((0.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 3.0, 0, 0), (0, 0, 3.0, 0), (0, 0, 0, 1.0))
    return [
        _lately(patience=patience, rising=rising, weights=tuple(float(weight) for weight in mix))
        for patience in (1.0, 30.0)
        for rising in (0.0, 0.8)
        for mix in mixes
        if patience > 1 or rising or any(mix)
    ]


def _scaled_weight(h: int, factor: float) -> Change:
    def change(config: ItemGraphConfig) -> ItemGraphConfig:
        weights = list(config.lately.weights)
        new = weights[h] * factor if weights[h] else (0.3 if factor > 1 else 0.0)
        weights[h] = float(f"{new:.3g}") if 0.02 <= new <= 100 else weights[h] * (factor > 1)
        return replace(config, lately=replace(config.lately, weights=tuple(weights)))

    return change


def _moves(config: ItemGraphConfig) -> list[list[Change]]:
    def rise(step: float) -> Change:
        def change(config: ItemGraphConfig) -> ItemGraphConfig:
            rising = round(min(max(config.lately.rising + step, 0.0), 1.4), 2)
            return replace(config, lately=replace(config.lately, rising=rising))

        return change

    half_lives = config.lately.half_lives

    def patient(factor: float) -> Change:
        def change(config: ItemGraphConfig) -> ItemGraphConfig:
            patience = float(f"{min(max(config.lately.patience * factor, 1.0), 1e4):.3g}")
            return replace(config, lately=replace(config.lately, patience=patience))

        return change

    moves = [[rise(0.2), rise(-0.2)], [patient(3.0), patient(1 / 3.0)]]
    moves += [[_scaled_weight(h, 2.5), _scaled_weight(h, 0.4)] for h in range(len(half_lives))]
    moves.append([_lately(rising_half_life=days) for days in half_lives])
    return moves


def _repeat_starts() -> list[Change]:
    return [
        _repeated(weight=weight, lately=lately, rising=rising)
        for weight, lately, rising in (
            (0.3, 0.0, 0.0),
            (1.0, 3.0, 0.0),
            (5.0, 300.0, 0.1),
            (20.0, 2_000.0, 0.1),
        )
    ]


def _repeat_moves() -> list[list[Change]]:
    def scaled(field: str, factor: float) -> Change:
        def change(config: ItemGraphConfig) -> ItemGraphConfig:
            value = float(f"{getattr(config.repeats, field) * factor:.3g}")
            return replace(config, repeats=replace(config.repeats, **{field: value}))

        return change

    return [
        [scaled("lately", 3.0), scaled("lately", 1 / 3.0)],
        [_repeated(half_life=events) for events in (1e6, 300.0, 100.0, 30.0, 10.0)],
        [_repeated(rising=exponent) for exponent in (0.0, 0.1, 0.2, 0.4)],
        [scaled("weight", 2.0), scaled("weight", 0.5)],
    ]
