"""Learned ranking: boosted trees (LambdaMART) reorder the best items of a blend."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Self

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.data.splits import leave_one_out
from nearline.kernels.diversity import Sparse
from nearline.kernels.trees import Trees, sum_trees
from nearline.models.base import (
    Arrays,
    Mask,
    Model,
    ModelPart,
    Range,
    Ranking,
    Space,
    check_weights,
)
from nearline.models.dense_scores import DenseModel
from nearline.models.hybrids.blend import Blend, BlendConfig
from nearline.models.hybrids.blend_pool import HeldOutUsers, StackingFold
from nearline.models.hybrids.blend_search import users_with_targets
from nearline.models.hybrids.lambdamart import Candidates, boost, lightgbm, no_trees, parsed
from nearline.models.hybrids.ranking_features import (
    CandidateTable,
    candidates_of,
    item_counts,
    no_counts,
)
from nearline.models.settings import require

# Minimum number of training lists; with fewer, the order of the blend is kept.
FEWEST_LISTS = 100
# Bound to which the sum of all trees is clipped, so that candidates remain before other items.
BOUND = 4.0
BLOCK = 256


class LearnedRankingConfig(BlendConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `LearnedRanking`, including those of its blend.

    Attributes
    ----------
    candidates : int
        Number of best items of the blend that the trees reorder.
    trees, leaves, rate : int, int, float
        Maximum number of trees, number of leaves of a tree, and learning rate.
    least : int
        Minimum number of candidates in a leaf.
    lists : int
        Maximum number of users, drawn at random, whose lists are used in training.
    """

    candidates: int = 100
    trees: int = 200
    leaves: int = 15
    rate: float = 0.05
    least: int = 100
    lists: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "candidates", 1, 10_000)
        for field in ("least", "lists"):
            require(self, field, 1, 10_000_000)
        require(self, "trees", 0, 10_000)
        require(self, "leaves", 2, 10_000)
        require(self, "rate", 0, 1, above=True)


class LearnedRanking(DenseModel):
    """A blend whose best items are reordered by trees that are boosted for NDCG.

        score(u, j) = blend(u, j) * exp(4 + sum over trees t: value of the leaf of t for x(u, j))

    C. Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82; trees by
    G. Ke et al., "LightGBM", NIPS 2017. `ranking_features` describes the features x(u, j).

    The trees learn from targets that the parts were not trained on. With validation data, these are
    the validation targets, and a fifth of the lists decides the number of trees; there are none
    unless they improve on the blend by at least one standard error. Without validation data, the
    parts are first trained without the last event of each user, which the trees learn from, and
    then on all data. Lists contain only the best items of the blend.

    Trees are stored in flat arrays and evaluated by a kernel: a trained model needs no LightGBM.

    Use it if there are thousands of users to learn from and the accuracy of the parts depends on
    the item. With few users, use `blend`, which has only a few weights to learn.

    Attributes
    ----------
    blend : Blend
        Model that selects candidates. It also receives new items and events.

    Notes
    -----
    A list costs that of the blend, plus O(candidates * trees * log leaves).
    """

    name: ClassVar[str] = "learned_ranking"
    config_type: ClassVar[type[Struct]] = LearnedRankingConfig
    tunes_itself: ClassVar[bool] = True
    space: ClassVar[Space] = {
        "leaves": Range(4, 63, log=True),
        "rate": Range(0.02, 0.2, log=True),
    }

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        own = msgspec.structs.asdict(self.config)
        fields = BlendConfig.__struct_fields__
        self.blend = Blend(BlendConfig(**{name: own[name] for name in fields}))
        self._trees = no_trees()
        self._counts = no_counts()

    @property
    def parts(self) -> list[Model]:
        """Models of the blend, in the order of the settings."""
        return self.blend.parts

    def criteria(self) -> dict[str, float]:
        """Return the weights of the blend, which chooses the items that the trees order."""
        return self.blend.criteria()

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return self.blend.n_items

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the blend, and then trees that reorder its best items.

        With `validation`, the number of trees is chosen by NDCG@10 and stored in the settings.

        Raises
        ------
        MissingExtra
            LightGBM is not installed.
        """
        check_weights(data.histories)
        lightgbm()
        if validation is None and self.config.trees:
            split = leave_one_out(data)
            self.blend.fit(split.train, seed=seed)
            users = HeldOutUsers(split.train.histories, split.test, data.n_items)
            self._learn([StackingFold(self.parts, users)], seed, search=False)
        self.blend.fit(data, validation=validation, seed=seed, progress=progress)
        if validation is not None:
            users = HeldOutUsers(data.histories, validation, data.n_items)
            self._learn([StackingFold(self.parts, users)], seed, search=True)
        self._finish(data)
        return self

    def weigh_on(self, folds: Sequence[StackingFold], *, seed: int = 0) -> None:
        """Choose normalisers, weights and trees by stacking; see `Blend.weigh_on`."""
        self.blend.weigh_on(folds, seed=seed)
        self._learn(folds, seed, search=True)
        self._copy_settings()

    def refit(self, data: Dataset, *, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Return a model with newly trained parts and the weights and trees of this one."""
        model = type(self)(self.config)
        model.blend.fit(data, seed=seed, progress=progress)
        model._trees = self._trees
        model._finish(data)
        return model

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items, each as a candidate: float32 [n_users, n_items]."""
        return self._ranked(histories, _no_events(histories), None, self.n_items)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item`: those of the blend, times the trees' factor."""
        reasons = self.blend.explain(history, item)
        total = sum(part.amount for part in reasons)
        if not total or len(self._trees.roots) == 0:
            return reasons
        factor = float(self.score_many(history)[0, item]) / total
        return [part._replace(amount=part.amount * factor) for part in reasons]

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add items to the blend, or change their texts or vectors."""
        self.blend.put_items(items, texts, vectors)

    def search_text(self, text: str, k: int, *, allowed: Mask | None = None) -> Ranking:
        """Search items by text with the blend."""
        return self.blend.search_text(text, k, allowed=allowed)

    def describe(self, items: IntArray) -> Sparse:
        """Describe items by the blend."""
        return self.blend.describe(items)

    def observe(self, before: Histories, events: Histories) -> None:
        """Update the blend with new events."""
        self.blend.observe(before, events)

    def forget(self, histories: Histories) -> None:
        """Remove the events of users from the blend."""
        self.blend.forget(histories)

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Compute the counts of the blend again."""
        self.blend.rebuild_counts(histories, n_items)

    def preallocate(self, events: int) -> None:
        """Allocate memory for events in the blend."""
        self.blend.preallocate(events)

    @property
    def learned_bytes(self) -> int:
        """Bytes used by what the blend has learned online."""
        return self.blend.learned_bytes

    @property
    def wants_compaction(self) -> bool:
        """Whether the blend wants compaction."""
        return self.blend.wants_compaction

    def compact(self) -> None:
        """Compact the blend."""
        self.blend.compact()

    def arrays(self) -> Arrays:
        """Return the arrays of the blend, the trees and the counts of items."""
        trees: Arrays = {f"trees/{name}": a for name, a in self._trees._asdict().items()}
        return self.blend.arrays() | trees | {"counts": self._counts}

    def _load(self, arrays: Arrays) -> None:
        self.blend = Blend.restore(self.blend.config, arrays)
        self._trees = Trees(*(arrays[f"trees/{name}"] for name in Trees._fields))
        self._counts = arrays["counts"]

    def _finish(self, data: Dataset) -> None:
        self._copy_settings()
        self._counts = item_counts(data.histories, self.n_items)
        self.fitted_on = data.histories

    def _copy_settings(self) -> None:
        """Copy the settings that the blend has chosen to the settings of this model."""
        self.config = replace(self.config, **msgspec.structs.asdict(self.blend.config))

    def _scorer(
        self, k: int, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        width = max(k, self.config.candidates)

        def score(histories: Histories) -> FloatArray:
            hidden = histories if exclude_seen else _no_events(histories)
            return self._ranked(histories, hidden, allowed, width)

        return score

    def _ranked(
        self, histories: Histories, hidden: Histories, allowed: Mask | None, width: int
    ) -> FloatArray:
        """Return scores of all items in which the `width` best items of the blend are first.

        Items in `hidden` and items that are not allowed are no candidates and may have any score.
        """
        if len(self._trees.roots) == 0:
            return self.blend.score_many(histories)
        check_weights(histories)
        table = candidates_of(
            self.blend, self._counts, histories, hidden=hidden, allowed=allowed, width=width
        )
        rows, columns = np.nonzero(table.items >= 0)
        sums = np.clip(sum_trees(self._trees, table.features[rows, columns]), -BOUND, BOUND)
        scores = table.blend
        scores[rows, table.items[rows, columns]] *= np.exp(sums + BOUND).astype(np.float32)
        return scores

    def _learn(self, folds: Sequence[StackingFold], seed: int, *, search: bool) -> None:
        """Train the trees on the candidates of users whose held-out events are known."""
        self._trees = no_trees()
        if self.config.trees == 0:
            return
        lists: list[Candidates] = []
        for fold in folds:
            lists += self._lists(fold, self.config.lists // len(folds), seed)
        if len(folds) > 1:
            # The folds are mixed, since `boost` holds out the first lists.
            order = np.random.default_rng(seed).permutation(len(lists))
            lists = [lists[index] for index in order]
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

    def _lists(self, fold: StackingFold, most: int, seed: int) -> list[Candidates]:
        """Return the training lists of at most `most` random users that contain a target."""
        blend = self.blend.with_parts(fold.parts)
        fitted_on = fold.parts[0].fitted_on
        counts = no_counts() if fitted_on is None else item_counts(fitted_on, blend.n_items)
        held_out, users = users_with_targets(fold.users)
        users = np.random.default_rng(seed).permutation(users)[:most]
        lists = []
        for first in range(0, len(users), BLOCK):
            some = users[first : first + BLOCK]
            histories = held_out.histories.select(some)
            table = candidates_of(
                blend,
                counts,
                histories,
                hidden=histories,
                allowed=None,
                width=self.config.candidates,
            )
            for row, user in enumerate(some):
                lists += _list_of(table, row, held_out.truth.row(user))
        return lists


def _list_of(table: CandidateTable, row: int, targets: IntArray) -> list[Candidates]:
    """Return a list with the training list of one user; it is empty without a target."""
    own = table.items[row][table.items[row] >= 0]
    relevant = np.isin(own, targets)
    if not relevant.any():
        return []
    return [Candidates(table.features[row, : len(own)], relevant, np.log(table.blend[row, own]))]


def _no_events(histories: Histories) -> Histories:
    """Return empty histories of the same number of users."""
    return histories.take(np.zeros(len(histories.items), dtype=np.bool_))
