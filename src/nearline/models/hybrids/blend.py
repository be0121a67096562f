"""The blend: a mixture of the scores of several models, with weights by length of the history.

    score(u, j) = sum over parts p:  w_p(length of history(u)) * norm_p(s_p(u, .))_j

Each normaliser makes the scores of a part sum to one over all items, so the blend is a mixture of
distributions over the catalogue (a linear opinion pool: M. Stone, "The opinion pool", Annals of
Mathematical Statistics 32(4), 1961), and a score does not depend on the other candidates. The
weights depend on the number of known events of a user, because some models need long histories.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.kernels.sparse_mix import MixedParts, mix_row
from nearline.models.base import (
    Mask,
    Model,
    ModelPart,
    Ranking,
    Space,
    check_k,
    check_single,
    check_weights,
)
from nearline.models.capabilities import LearnsOnline, ScoresSparsely, explain
from nearline.models.hybrids.blend_pool import HeldOutUsers, StackingFold
from nearline.models.hybrids.blend_search import BlendWeights, find_weights
from nearline.models.hybrids.hybrid import MAX_WEIGHT, Hybrid, HybridPart
from nearline.models.hybrids.normalisers import NORMALISERS, SHARE, SOFTMAX, Normaliser, normalised
from nearline.models.hybrids.sparse_rows import scored_rows
from nearline.models.hybrids.weights import mean_weights, weight_table
from nearline.models.settings import require, require_each, require_one_of

Places = NDArray[np.integer]
# Maximum number of ranges of history lengths.
MAX_RANGES = 64


class BlendPart(HybridPart, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a blend: a `HybridPart` with weights and a normaliser.

    Attributes
    ----------
    weights : tuple of float
        Weight for each range of history lengths (`BlendConfig.at_least`); if empty, `weight` is
        used for all.
    normaliser : str
        ``share``, which divides scores by the sum of the positive ones, or ``softmax``.
    temperature : float
        Number by which scores are divided before a softmax.
    """

    weights: tuple[float, ...] = ()
    normaliser: str = SHARE
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, "normaliser", NORMALISERS)
        require(self, "temperature", 0, 1e9, above=True)
        require_each(self, "weights", 0, MAX_WEIGHT, most=MAX_RANGES)


class BlendConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Blend`.

    Attributes
    ----------
    parts : tuple of BlendPart
        Models, weights and normalisers; with validation data, the search begins with them.
    at_least : tuple of int
        Minimum number of known events for each weight in `BlendPart.weights`, ascending from 0.
    sample : int
        Maximum number of users, drawn at random, for whom weights are evaluated.
    depth : int
        Number of items of each part that the search for weights considers. Answers consider all.
    """

    parts: tuple[BlendPart, ...] = (
        BlendPart(model="item_graph"),
        BlendPart(model="implicit_als", weight=0.3),
    )
    at_least: tuple[int, ...] = (0, 2, 3, 6)
    sample: int = 3_000
    depth: int = 100

    def __post_init__(self) -> None:
        require_each(self, "at_least", 0, 1e9, most=MAX_RANGES)
        require(self, "sample", 1, 1_000_000)
        require(self, "depth", 1, 10_000)
        if self.at_least[:1] != (0,) or any(np.diff(self.at_least) <= 0):
            raise InvalidInput(
                f"at_least is {self.at_least}; it must begin with 0 and be strictly increasing",
                field="at_least",
            )
        for part in self.parts:
            if len(part.weights) not in (0, len(self.at_least)):
                raise InvalidInput(
                    f"part {part.model!r} has {len(part.weights)} weights for "
                    f"{len(self.at_least)} lengths in at_least; give one for each, or none",
                    field="weights",
                )
        if not (weight_table(self).sum(axis=1) > 0).all():
            raise InvalidInput("all weights are 0; give a part some weight", field="parts")


class BlendTables(NamedTuple):
    """Weights, float32 [lengths, parts], and normalisers of a configuration, computed once."""

    config: BlendConfig
    weights: FloatArray
    normalisers: list[Normaliser]

    def mixed(self, used: Places, weights: FloatArray, sizes: Places) -> MixedParts:
        """Return some parts as the kernel reads them."""
        normalisers = [self.normalisers[place] for place in used]
        return MixedParts(
            weights.astype(np.float64),
            np.array([how.name == SOFTMAX for how in normalisers]),
            np.array([how.temperature for how in normalisers]),
            sizes.astype(np.int64),
        )


class Blend(Hybrid):
    """A mixture of normalised scores; weights and normalisers are chosen on validation data.

    A coordinate search changes the normaliser and weight of one part at a time while NDCG@10 of the
    validation targets improves. The weights are then adjusted for each length of the history. If
    too few users have so few events, longer histories are truncated to that length.

    New events and items are forwarded to the parts, so a part that learns online (`item_graph`)
    continues to do so.

    Use it if models complement each other: the item graph reacts to the latest events, a sequence
    model uses their order, and popularity helps if little is known. If one model is about as
    accurate, use that model, since an answer costs as much as those of all parts together.

    Notes
    -----
    Scoring all items with every part takes O(n_items * parts) time, but an answer of parts that all
    score sparsely, such as the item graph and `item_knn`, does not.
    """

    name: ClassVar[str] = "blend"
    config_type: ClassVar[type[Struct]] = BlendConfig
    space: ClassVar[Space] = {}
    _known: BlendTables | None = None

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the parts, then choose weights if there are at least 100 validation users.

        Afterwards, `config` contains the chosen settings, including those of the parts.
        """
        super().fit(data, validation=validation, seed=seed, progress=progress)
        if validation is not None:
            self.weigh(data, validation, seed=seed)
        return self

    def weigh(self, data: Dataset, validation: Histories, *, seed: int = 0) -> None:
        """Choose normalisers and weights on validation data.

        Parameters
        ----------
        data : Dataset
            Data on which the parts were trained.
        validation : Histories
            Held-out events, one row per user of `data`.
        seed : int
            Seed of all random numbers.
        """
        users = HeldOutUsers(data.histories, validation, data.n_items)
        self.weigh_on([StackingFold(self.parts, users)], seed=seed)

    def weigh_on(self, folds: Sequence[StackingFold], *, seed: int = 0) -> None:
        """Choose normalisers and weights by stacking.

        Each fold consists of trained parts, of the same kinds as those of this blend, and users
        whose held-out events the parts were not trained on. With one fold for each group of users,
        the choice is based on all users.
        D. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
        """
        found = find_weights(
            folds,
            weight_table(self.config).mean(axis=0),
            at_least=self.config.at_least,
            sample=self.config.sample,
            depth=self.config.depth,
            seed=seed,
        )
        if found is not None:
            self._set_weights(found)

    def with_parts(self, parts: Sequence[Model]) -> "Blend":
        """Return a blend with the same settings and other trained parts of the same kinds."""
        blend = Blend(self.config)
        blend.parts = list(parts)
        return blend

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items for each history: float32 [n_users, n_items]."""
        check_weights(histories)

        def scores_of(place: int, rows: NDArray[np.int64]) -> FloatArray:
            some = histories if len(rows) == len(histories) else histories.select(rows)
            return self.parts[place].score_many(some)

        return self.mix(histories, scores_of)

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Return the `k` best items for each history; see `Model.recommend_from`.

        If all parts score sparsely, only the items that they score are mixed, and no others are
        listed.
        """
        sparse = [part for part in self.parts if isinstance(part, ScoresSparsely)]
        if len(sparse) < len(self.parts):
            return super().recommend_from(histories, k, exclude_seen=exclude_seen, allowed=allowed)
        check_k(k)
        check_weights(histories)
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        weights = self._weights(histories)
        nothing = np.zeros(0, dtype=np.int32)
        for row, found in enumerate(scored_rows(sparse, histories)):
            used = np.flatnonzero(weights[row])
            # Only now, since the parts may have learned new items while they scored.
            sizes = np.array([part.n_items for part in sparse])
            best = mix_row(
                [found[place] for place in used],
                self._tables().mixed(used, weights[row, used], sizes[used]),
                k,
                seen=histories.row(row) if exclude_seen else nothing,
                allowed=allowed,
            )
            items[row], scores[row] = best.items[0], best.scores[0]
        return Ranking(items, scores)

    def mix(
        self, histories: Histories, scores_of: Callable[[int, NDArray[np.int64]], FloatArray]
    ) -> FloatArray:
        """Normalise and mix scores of the parts: float32 [n_users, n_items].

        Parameters
        ----------
        histories : Histories
            Histories whose lengths determine the weights.
        scores_of : callable
            Returns the scores of a part, float32 [len(rows), items], given the position of the part
            and the rows of `histories` to score.
        """
        weights = self._weights(histories)
        total = np.zeros((len(histories), self.n_items), dtype=np.float32)
        for place in range(len(self.parts)):
            rows = np.flatnonzero(weights[:, place] > 0)
            if len(rows):
                found = self._normalised(place, scores_of(place, rows))
                # Parts may know different numbers of items, as not all accept new ones.
                width = min(found.shape[1], total.shape[1])
                found = found[:, :width] * weights[rows, place, None]
                if len(rows) == len(histories):
                    total[:, :width] += found
                else:
                    total[rows, :width] += found
        return total

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return parts of the score of `item`, whose sum is the score.

        The contribution of a model with the normaliser ``share`` is split as the model splits its
        own score. That of another model is one part with the name of the model.
        """
        check_single(history)
        weights = self._weights(history)[0]
        reasons: list[ModelPart] = []
        for place, part in enumerate(self.parts):
            if weights[place] == 0 or not 0 <= item < part.n_items:
                continue
            scores = part.score_many(history)
            amount = float(weights[place] * self._normalised(place, scores)[0, item])
            own = float(scores[0, item])
            if self.config.parts[place].normaliser == SHARE and own:
                split = explain(part, history, item)
                reasons += [p._replace(amount=p.amount * amount / own) for p in split]
            elif amount:
                reasons.append(ModelPart(-1, part.name, amount))
        return reasons

    def criteria(self) -> dict[str, float]:
        """Return the mean weight of each model over the ranges of history lengths."""
        return mean_weights(self.config)

    def observe(self, before: Histories, events: Histories) -> None:
        """Update the parts that learn online with new events."""
        for part in self._learning():
            part.observe(before, events)

    def forget(self, histories: Histories) -> None:
        """Remove the events of users from the parts that learn online."""
        for part in self._learning():
            part.forget(histories)

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Compute the counts of the parts that learn online again."""
        for part in self._learning():
            part.rebuild_counts(histories, n_items)

    def preallocate(self, events: int) -> None:
        """Allocate memory for events in the parts that learn online."""
        for part in self._learning():
            part.preallocate(events)

    @property
    def learned_bytes(self) -> int:
        """Bytes used by what the parts have learned online."""
        return sum(part.learned_bytes for part in self._learning())

    @property
    def wants_compaction(self) -> bool:
        """Whether a part wants compaction."""
        return any(part.wants_compaction for part in self._learning())

    def compact(self) -> None:
        """Compact the parts that learn online."""
        for part in self._learning():
            part.compact()

    def _learning(self) -> list[LearnsOnline]:
        return [part for part in self.parts if isinstance(part, LearnsOnline)]

    def _normalised(self, place: int, scores: FloatArray) -> FloatArray:
        return normalised(scores, self._tables().normalisers[place])

    def _weights(self, histories: Histories) -> FloatArray:
        """Return the weights of the parts for each history: float32 [n_users, parts]."""
        known = np.concatenate(([0], np.cumsum(histories.items >= 0)))
        lengths = np.diff(known[histories.indptr])
        row = np.searchsorted(self.config.at_least, lengths, side="right") - 1
        return self._tables().weights[row]

    def _tables(self) -> "BlendTables":
        if self._known is None or self._known.config is not self.config:
            parts = self.config.parts
            self._known = BlendTables(
                self.config,
                weight_table(self.config).astype(np.float32),
                [Normaliser(part.normaliser, part.temperature) for part in parts],
            )
        return self._known

    def _set_weights(self, found: BlendWeights) -> None:
        """Store the result of a search in the settings."""
        parts = (
            replace(
                part,
                weight=float(found.weights[place]),
                weights=tuple(float(w) for w in found.by_length[:, place]),
                normaliser=found.normalisers[place].name,
                temperature=found.normalisers[place].temperature,
            )
            for place, part in enumerate(self.config.parts)
        )
        self.config = replace(self.config, parts=tuple(parts))
