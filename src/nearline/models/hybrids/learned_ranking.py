"""Learned ranking: the first of a blend, put in order by boosted trees (LambdaMART)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.data.splits import leave_one_out
from nearline.kernels.topk import top_k_rows
from nearline.kernels.trees import Trees, sum_trees
from nearline.models.base import Mask, ModelPart, Range, Space, check_weights
from nearline.models.hybrids.blend import Blend, BlendConfig
from nearline.models.hybrids.blend_search import (
    HeldOutUsers,
    StackingFold,
    dense,
    users_with_targets,
)
from nearline.models.hybrids.hybrid import Arrays
from nearline.models.hybrids.lambdamart import Candidates, boost, lightgbm, no_trees, parsed
from nearline.models.settings import require

# With fewer lists to learn from, the order stays that of the blend.
FEWEST_LISTS = 100
# Share of the newest events that make the recent popularity.
RECENT = 0.1
# What the sum of all trees is cut to, either way; candidates are never behind the rest.
BOUND = 4.0
BLOCK = 256


class LearnedRankingConfig(BlendConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `LearnedRanking`, those of the blend among them.

    Attributes
    ----------
    candidates : int
        First items of the blend that the trees put in order.
    trees, leaves, rate : int, int, float
        Trees at most, leaves of each, and what each tree's values are multiplied by.
    least : int
        Candidates that a leaf holds at least.
    lists : int
        Most users, drawn at random, whose lists are learned from.
    """

    candidates: int = 100
    trees: int = 200
    leaves: int = 15
    rate: float = 0.05
    least: int = 100
    lists: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("candidates", "least", "lists"):
            require(self, field, 1)
        require(self, "trees", 0)
        require(self, "leaves", 2)
        require(self, "rate", 0, 1, above=True)


class LearnedRanking(Blend):
    """A blend whose first items are put in order by trees that were boosted for NDCG.

        score(u, j) = blend(u, j) * exp(4 + sum over trees t: value of the leaf of t for x(u, j))

    C. Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82; trees by
    G. Ke et al., "LightGBM", NIPS 2017.

    What the trees see of an item: the scores of each part and of the blend, as a share of the row's
    largest and in deviations above the row's mean; the item's popularity, all-time and recent, and
    age; and the length of the history. None of it depends on the other candidates. All is as it was
    before the target: with validation data the parts are fitted without the targets; without, they
    are fitted twice, first without the last event of each user, which is what the trees learn from,
    then on everything.

    With validation data a fifth of the lists says how many trees there are: none where they are
    not ahead of the blend by one standard error. A list is made of the blend's first items, and of
    no others.

    Trees are kept as flat arrays and evaluated by a kernel: a fitted model needs no LightGBM.

    Use it where there are thousands of users to learn from and parts whose worth depends on the
    item. Do not use it where there are few: the blend has a handful of numbers to find.

    Notes
    -----
    A list costs that of the blend, and O(candidates * trees * log leaves).
    """

    name: ClassVar[str] = "learned_ranking"
    config_type: ClassVar[type[Struct]] = LearnedRankingConfig
    space: ClassVar[Space] = {
        "leaves": Range(4, 63, log=True),
        "rate": Range(0.02, 0.2, log=True),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._trees = no_trees()
        self._counts: FloatArray = np.zeros((0, 3), dtype=np.float32)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Fit the parts and weigh them, and trees on the order of the first items.

        With `validation` the number of trees is found by NDCG@10, and written to the settings.

        Raises
        ------
        MissingExtra
            LightGBM is not installed.
        """
        check_weights(data.histories)
        lightgbm()
        if validation is None and self.config.trees:
            split = leave_one_out(data)
            super().fit(split.train, seed=seed)
            rows = HeldOutUsers(split.train.histories, split.test, data.n_items)
            self._learn([StackingFold(self.parts, rows)], seed, search=False)
        super().fit(data, validation=validation, seed=seed, progress=progress)
        self._count()
        return self

    def weigh_on(self, panels: Sequence[StackingFold], *, seed: int = 0) -> None:
        """Find normalisers, weights and trees by what parts of these kinds say of other users."""
        super().weigh_on(panels, seed=seed)
        self._learn(panels, seed, search=True)

    def refit(self, data: Dataset, *, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Fit the parts anew; weights and trees stay what they are."""
        model = type(self)(self.config)
        Blend.fit(model, data, seed=seed, progress=progress)
        model._trees = self._trees
        model._count()
        return model

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores, float32 [n_users, n_items], as if all items were candidates."""
        return self._ranked(histories, _nothing(histories), None, self.n_items)

    def _scorer(
        self, k: int, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        width = max(k, self.config.candidates)

        def score(histories: Histories) -> FloatArray:
            hidden = histories if exclude_seen else _nothing(histories)
            return self._ranked(histories, hidden, allowed, width)

        return score

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Parts of the score of `item`: those of the blend, times what the trees make of them."""
        reasons = super().explain(history, item)
        total = sum(part.amount for part in reasons)
        if not total or len(self._trees.roots) == 0:
            return reasons
        factor = float(self.score_many(history)[0, item]) / total
        return [part._replace(amount=part.amount * factor) for part in reasons]

    def arrays(self) -> Arrays:
        """Return arrays of the parts, the trees and the counts."""
        own: Arrays = {f"trees/{name}": a for name, a in self._trees._asdict().items()}
        return super().arrays() | own | {"counts": self._counts}

    def _load(self, arrays: Arrays) -> None:
        super()._load(arrays)
        self._trees = Trees(*(arrays[f"trees/{name}"] for name in Trees._fields))
        self._counts = arrays["counts"]

    def _ranked(
        self, histories: Histories, hidden: Histories, allowed: Mask | None, width: int
    ) -> FloatArray:
        """Scores of the first `width` items that the blend may list; those of others are smaller.

        What is hidden may stand anywhere.
        """
        if len(self._trees.roots) == 0:
            return super().score_many(histories)
        check_weights(histories)
        blend, candidates, table = self._candidates(histories, hidden, allowed, width)
        rows, columns = np.nonzero(candidates >= 0)
        said = np.clip(sum_trees(self._trees, table[rows, columns]), -BOUND, BOUND)
        blend[rows, candidates[rows, columns]] *= np.exp(said + BOUND).astype(np.float32)
        return blend

    def _candidates(
        self, histories: Histories, hidden: Histories, allowed: Mask | None, width: int
    ) -> tuple[FloatArray, IntArray, FloatArray]:
        """Blended scores [n, n_items], candidates [n, c], and what trees see of each [n, c, f]."""
        n_items = self.n_items
        raw = [dense(part, histories, n_items) for part in self.parts]
        blend = self._mixed(histories, lambda place, rows: raw[place][rows])
        open_ = blend.copy()
        known = (hidden.items >= 0) & (hidden.items < n_items)
        row = np.repeat(np.arange(len(hidden)), np.diff(hidden.indptr))
        open_[row[known], hidden.items[known]] = 0.0
        if allowed is not None:
            open_[:, len(allowed) :] = 0.0
            open_[:, : len(allowed)][:, ~allowed[:n_items]] = 0.0
        candidates = top_k_rows(open_, max(1, min(width, n_items)), above=0.0).items
        return blend, candidates, self._features([*raw, blend], candidates, histories)

    def _features(
        self, scored: Sequence[FloatArray], candidates: IntArray, histories: Histories
    ) -> FloatArray:
        at = np.maximum(candidates, 0)
        columns: list[NDArray[Any]] = []
        for scores in scored:
            own = np.take_along_axis(scores, at, axis=1)
            top = np.abs(scores).max(axis=1, keepdims=True)
            spread = scores.std(axis=1, keepdims=True)
            mean = scores.mean(axis=1, keepdims=True)
            columns += [own / np.where(top > 0, top, 1.0)]
            columns += [(own - mean) / np.where(spread > 0, spread, 1.0)]
        counts = self._counts
        if len(counts) < self.n_items:  # items that came later
            more = np.zeros((self.n_items - len(counts), 3), dtype=np.float32)
            counts = np.concatenate((counts, more))
        columns += [counts[at, column] for column in range(3)]
        lengths = np.diff(histories.indptr)[:, None]
        columns += [np.broadcast_to(lengths, at.shape)]
        return np.stack(columns, axis=2).astype(np.float32)

    def _count(self) -> None:
        """Count the events that the parts were fitted on."""
        fitted_on = self.parts[0].fitted_on
        if fitted_on is not None:
            self._counts = _counts(fitted_on, self.n_items)

    def _learn(self, panels: Sequence[StackingFold], seed: int, *, search: bool) -> None:
        """Boost trees on the candidates of some users, of whom the next events are known."""
        self._trees = no_trees()
        if self.config.trees == 0:
            return
        lists: list[Candidates] = []
        for parts, rows in panels:
            asked = type(self)(self.config)
            asked.parts = list(parts)
            asked._count()
            most = self.config.lists // len(panels)
            lists += asked._lists(rows, most, seed)
        if len(panels) > 1:
            # The first lists are held out: some of each panel.
            order = np.random.default_rng(seed).permutation(len(lists))
            lists = [lists[place] for place in order]
        text, used = "", 0
        if len(lists) >= FEWEST_LISTS:
            text, used = boost(
                lists,
                trees=self.config.trees,
                leaves=self.config.leaves,
                rate=self.config.rate,
                least=self.config.least,
                seed=seed,
                search=search,
            )
        self._trees = parsed(text) if used else no_trees()
        if search:
            self.config = replace(self.config, trees=used)

    def _lists(self, rows: HeldOutUsers, most: int, seed: int) -> list[Candidates]:
        """Candidates of users drawn at random, where they hold something to find."""
        rows, users = users_with_targets(rows)
        users = np.random.default_rng(seed).permutation(users)[:most]
        lists = []
        for first in range(0, len(users), BLOCK):
            some = users[first : first + BLOCK]
            asked = rows.histories.select(some)
            blend, candidates, table = self._candidates(asked, asked, None, self.config.candidates)
            for row, user in enumerate(some):
                own = candidates[row][candidates[row] >= 0]
                found = np.isin(own, rows.truth.row(user))
                if found.any():
                    lists.append(Candidates(table[row, : len(own)], found, np.log(blend[row, own])))
        return lists


def _counts(histories: Histories, n_items: int) -> FloatArray:
    """Logarithms of each item's events, all and recent, and its age: float32 [n_items, 3].

    The age is the share of all events that came since the item's first.
    """
    known = histories.items >= 0
    items, times = histories.items[known], histories.times[known]
    every = np.bincount(items, minlength=n_items)
    late = times >= np.quantile(times, 1 - RECENT) if len(times) else known[:0]
    recent = np.bincount(items[late], minlength=n_items)
    order = np.argsort(times, kind="stable")
    place = np.full(n_items, len(order))
    np.minimum.at(place, items[order], np.arange(len(order)))
    age = 1.0 - place / max(len(order), 1)
    return np.stack((np.log1p(every), np.log1p(recent), age), axis=1).astype(np.float32)


def _nothing(histories: Histories) -> Histories:
    return histories.take(np.zeros(len(histories.items), dtype=np.bool_))
