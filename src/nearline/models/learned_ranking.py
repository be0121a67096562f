"""Learned ranking: candidates of several models, put in order by boosted trees (LambdaMART)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.data.splits import leave_one_out
from nearline.errors import MissingExtra
from nearline.kernels.chunks import available_threads
from nearline.kernels.trees import Trees, sum_trees
from nearline.models.base import Mask, Range, Space, check_weights
from nearline.models.blend_search import dense, union
from nearline.models.hybrid import Arrays, Hybrid, Part
from nearline.models.settings import require
from nearline.progress import Progress, no_progress

K = 10
# With fewer lists to learn from, the candidates stay in the order of the first part.
FEWEST_LISTS = 100
# Share of the lists that decides how many trees there are.
HELD_OUT = 0.2
PATIENCE = 30
# Share of the newest events that make the recent popularity.
RECENT = 0.1


class LearnedRankingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `LearnedRanking`.

    Attributes
    ----------
    parts : tuple of Part
        Models that give candidates and scores; `weight` is not used.
    depth : int
        Best items of each part that are candidates.
    trees, leaves, rate : int, int, float
        Trees at most, leaves of each, and what each tree's values are multiplied by.
    least : int
        Candidates that a leaf holds at least.
    sample : int
        Most users, drawn at random, whose lists are learned from.
    """

    parts: tuple[Part, ...] = (
        Part(model="item_graph"),
        Part(model="implicit_als"),
        Part(model="popularity"),
    )
    depth: int = 100
    trees: int = 200
    leaves: int = 15
    rate: float = 0.05
    least: int = 100
    sample: int = 3_000

    def __post_init__(self) -> None:
        for field in ("depth", "least", "sample"):
            require(self, field, 1)
        require(self, "trees", 0)
        require(self, "leaves", 2)
        require(self, "rate", 0, 1, above=True)


class LearnedRanking(Hybrid):
    """Candidates from the tops of several models, scored by trees that were boosted for NDCG.

    C. Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82; trees by
    G. Ke et al., "LightGBM", NIPS 2017.

    What the trees see of a candidate: each part's score as a share of the row's largest, in
    deviations above the row's mean, and as it is; the item's popularity, all-time and recent, and
    age; and the length of the history. All of it is as it was before the target: with validation
    data the parts are fitted without the targets; without, they are fitted twice, first without
    the last event of each user, which is what the trees learn from, then on everything.

    Trees are kept as flat arrays and evaluated by a kernel: a fitted model needs no LightGBM.

    Use it where there are thousands of users to learn from and parts whose worth depends on the
    item. Do not use it where there are few: `blend` has a handful of numbers to find.

    Notes
    -----
    A list costs the scores of all parts, and O(candidates * trees * log leaves).
    """

    name: ClassVar[str] = "learned_ranking"
    config_type: ClassVar[type[Struct]] = LearnedRankingConfig
    space: ClassVar[Space] = {
        "leaves": Range(4, 63, log=True),
        "rate": Range(0.02, 0.2, log=True),
    }
    learns: ClassVar[bool] = True
    _floor = 0.0

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        self._trees = _no_trees()
        self._counts: FloatArray = np.zeros((0, 3), dtype=np.float32)

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Fit the parts, and trees on the order of their candidates.

        With `validation` the number of trees is found by NDCG@10, and written to the settings.

        Raises
        ------
        MissingExtra
            LightGBM is not installed.
        """
        check_weights(data.histories)
        _lightgbm()
        if validation is None:
            split = leave_one_out(data)
            super().fit(split.train, seed=seed)
            self._counts = _counts(split.train)
            self._learn(split.train.histories, split.test, seed, search=False)
            super().fit(data, seed=seed, progress=progress)
        else:
            super().fit(data, validation=validation, seed=seed, progress=progress)
            self._counts = _counts(data)
            self._learn(data.histories, validation, seed, search=True)
        self._counts = _counts(data)
        return self

    def score_many(self, histories: Histories) -> FloatArray:
        """Scores between 0 and 1, float32 [n_users, n_items]; 0 for what is no candidate."""
        return self._scorer(exclude_seen=False, allowed=None)(histories)

    def arrays(self) -> Arrays:
        """Return arrays of the parts, the trees and the counts."""
        own: Arrays = {f"trees/{name}": a for name, a in self._trees._asdict().items()}
        return super().arrays() | own | {"counts": self._counts}

    def _load(self, arrays: Arrays) -> None:
        super()._load(arrays)
        self._trees = Trees(*(arrays[f"trees/{name}"] for name in Trees._fields))
        self._counts = arrays["counts"]

    def _scorer(
        self, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        def score(histories: Histories) -> FloatArray:
            check_weights(histories)
            out = np.zeros((len(histories), self.n_items), dtype=np.float32)
            if self.n_items == 0 or len(histories) == 0:
                return out
            hidden = histories if exclude_seen else _nothing(histories)
            candidates, table = self._candidates(histories, hidden, allowed)
            rows, columns = np.nonzero(candidates >= 0)
            seen_by_trees = table[rows, columns]
            raw = sum_trees(self._trees, seen_by_trees)
            if len(self._trees.roots) == 0:
                raw = seen_by_trees[:, 0].astype(np.float64)
            out[rows, candidates[rows, columns]] = 1.0 / (1.0 + np.exp(-np.clip(raw, -13.0, 13.0)))
            return out

        return score

    def _candidates(
        self, histories: Histories, hidden: Histories, allowed: Mask | None
    ) -> tuple[IntArray, FloatArray]:
        """Candidates [n, c] (-1 behind them), and what the trees see of each [n, c, f]."""
        n_items = self.n_items
        raw = [dense(part, histories, n_items) for part in self.parts]
        asked = raw
        if allowed is not None:
            mask = np.zeros(n_items, dtype=np.bool_)
            mask[: len(allowed)] = allowed[:n_items]
            asked = [np.where(mask, one, -np.inf).astype(np.float32) for one in raw]
        width = min(self.config.depth * len(raw), n_items)
        candidates = union(asked, hidden, self.config.depth, width)
        if allowed is not None:
            candidates[(candidates >= 0) & ~mask[candidates]] = -1
        return candidates, self._features(raw, candidates, histories)

    def _features(
        self, raw: Sequence[FloatArray], candidates: IntArray, histories: Histories
    ) -> FloatArray:
        at = np.maximum(candidates, 0)
        columns: list[NDArray[Any]] = []
        for scores in raw:
            own = np.take_along_axis(scores, at, axis=1)
            top = np.abs(scores).max(axis=1, keepdims=True)
            spread = scores.std(axis=1, keepdims=True)
            mean = scores.mean(axis=1, keepdims=True)
            columns += [own / np.where(top > 0, top, 1.0)]
            columns += [(own - mean) / np.where(spread > 0, spread, 1.0), own]
        counts = self._counts
        if len(counts) < self.n_items:  # items that came later
            more = np.zeros((self.n_items - len(counts), 3), dtype=np.float32)
            counts = np.concatenate((counts, more))
        columns += [counts[at, column] for column in range(3)]
        lengths = np.diff(histories.indptr)[:, None]
        columns += [np.broadcast_to(lengths, at.shape)]
        return np.stack(columns, axis=2).astype(np.float32)

    def _learn(self, histories: Histories, truth: Histories, seed: int, *, search: bool) -> None:
        """Boost trees on the candidates of some users, of whom the next events are known."""
        self._trees = _no_trees()
        rng = np.random.default_rng(seed)
        known = truth.take((truth.items >= 0) & (truth.weights > 0))
        users = np.flatnonzero((np.diff(known.indptr) > 0) & (np.diff(histories.indptr) > 0))
        users = rng.permutation(users)[: self.config.sample]
        tables, labels, sizes = [], [], []
        for first in range(0, len(users), 256):
            some = users[first : first + 256]
            asked = histories.select(some)
            candidates, table = self._candidates(asked, asked, None)
            for row, user in enumerate(some):
                own = candidates[row] >= 0
                found = np.isin(candidates[row][own], known.row(user))
                if found.any():
                    tables.append(table[row][own])
                    labels.append(found)
                    sizes.append(int(own.sum()))
        if len(sizes) < FEWEST_LISTS or self.config.trees == 0:
            return
        text, used = _boost(tables, labels, sizes, self.config, seed, search=search)
        self._trees = parsed(text)
        if search:
            self.config = replace(self.config, trees=used)


def _boost(
    tables: list[FloatArray],
    labels: list[NDArray[np.bool_]],
    sizes: list[int],
    config: LearnedRankingConfig,
    seed: int,
    *,
    search: bool,
) -> tuple[str, int]:
    lightgbm = _lightgbm()

    def pool(first: int, last: int, reference: Any = None) -> Any:
        return lightgbm.Dataset(
            np.concatenate(tables[first:last]),
            np.concatenate(labels[first:last]).astype(np.int32),
            group=sizes[first:last],
            reference=reference,
            free_raw_data=True,
        )

    n = len(sizes)
    kept = n - int(HELD_OUT * n) if search else n
    learned = pool(0, kept)
    settings = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 2 * K,
        "metric": "ndcg",
        "eval_at": [K],
        "num_leaves": config.leaves,
        "learning_rate": config.rate,
        "min_data_in_leaf": config.least,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": available_threads(),
        "verbosity": -1,
    }
    if not search:
        booster = lightgbm.train(settings, learned, config.trees)
        return booster.model_to_string(), config.trees
    booster = lightgbm.train(
        settings,
        learned,
        config.trees,
        valid_sets=[pool(kept, n, learned)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return booster.model_to_string(num_iteration=booster.best_iteration), booster.best_iteration


def parsed(text: str) -> Trees:
    """Read the trees of LightGBM's text format: numbers alone, no missing values."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in Trees._fields}
    nodes = leaves = 0
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)

        def numbers(name: str, kind: type, fields: dict[str, str] = fields) -> NDArray[Any]:
            return np.array(fields.get(name, "").split(), dtype=kind)

        values = numbers("leaf_value", np.float64)
        alone = int(fields["num_leaves"]) == 1
        columns["roots"].append(np.array([~leaves if alone else nodes], dtype=np.int32))
        columns["values"].append(values)
        if not alone:
            for side in ("left", "right"):
                child = numbers(f"{side}_child", np.int32)
                columns[side].append(np.where(child >= 0, child + nodes, child - leaves))
            columns["features"].append(numbers("split_feature", np.int32))
            columns["thresholds"].append(numbers("threshold", np.float64))
            nodes += len(columns["features"][-1])
        leaves += len(values)
    kinds = {name: array.dtype for name, array in _no_trees()._asdict().items()}
    return Trees(
        *(
            np.concatenate([np.zeros(0, kinds[name]), *columns[name]]).astype(kinds[name])
            for name in Trees._fields
        )
    )


def _no_trees() -> Trees:
    whole, broken = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float64)
    return Trees(whole, whole, broken, whole, whole, broken)


def _counts(data: Dataset) -> FloatArray:
    """Logarithms of each item's events, all and recent, and its age: float32 [n_items, 3].

    The age is the share of all events that came since the item's first.
    """
    known = data.histories.items >= 0
    items, times = data.histories.items[known], data.histories.times[known]
    every = np.bincount(items, minlength=data.n_items)
    late = times >= np.quantile(times, 1 - RECENT) if len(times) else known[:0]
    recent = np.bincount(items[late], minlength=data.n_items)
    order = np.argsort(times, kind="stable")
    place = np.full(data.n_items, len(order))
    np.minimum.at(place, items[order], np.arange(len(order)))
    age = 1.0 - place / max(len(order), 1)
    return np.stack((np.log1p(every), np.log1p(recent), age), axis=1).astype(np.float32)


def _nothing(histories: Histories) -> Histories:
    return histories.take(np.zeros(len(histories.items), dtype=np.bool_))


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra(
            "learned_ranking is fitted with lightgbm, which is not installed: "
            "pip install nearline[rank]"
        ) from None
    return lightgbm
