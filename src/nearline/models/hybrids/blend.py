"""The blend: a mixture of what several models say comes next, weighed by how much is known.

    score(u, j) = sum over parts p:  w_p(length of history(u)) * norm_p(s_p(u, .))_j

Every normaliser looks at all items, never at some candidates, so that a score does not depend on
what it stands beside; each makes the scores of a part sum to one, so the blend is a mixture of
distributions over the catalogue (a linear opinion pool: M. Stone, "The opinion pool", Annals of
Mathematical Statistics 32(4), 1961). Weights depend on how many events are known of a user: a
model that needs a long history has less to say about a short one.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.models.base import ModelPart, Space, check_weights
from nearline.models.capabilities import LearnsOnline, explain
from nearline.models.hybrids.blend_search import Found, HeldOutUsers, StackingFold, find_weights
from nearline.models.hybrids.hybrid import Hybrid, HybridPart
from nearline.models.hybrids.normalisers import NORMALISERS, SHARE, normalised
from nearline.models.settings import require, require_one_of


class BlendPart(HybridPart, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a blend: a `HybridPart`, and how its scores are weighed.

    Attributes
    ----------
    weights : tuple of float
        Its say for each length of the history (`BlendConfig.at_least`); empty: `weight` for all.
    normaliser : str
        ``share`` (scores divided by the sum of those above 0) or ``softmax``.
    temperature : float
        What scores are divided by before a softmax.
    """

    weights: tuple[float, ...] = ()
    normaliser: str = SHARE
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, "normaliser", NORMALISERS)
        require(self, "temperature", 0, above=True)
        if not (np.isfinite(self.weights).all() and all(w >= 0 for w in self.weights)):
            raise InvalidInput(
                f"the weights of part {self.model!r} are {self.weights}; they must be at least 0",
                field="weights",
            )


class BlendConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `Blend`.

    Attributes
    ----------
    parts : tuple of BlendPart
        Models, weights and normalisers; with validation data, where the search starts.
    at_least : tuple of int
        Known events from which on each weight of `BlendPart.weights` holds, rising; the first is 0.
    sample : int
        Most users, drawn at random, on whom weights are tried.
    depth : int
        Best items of each part that are looked at while weights are tried. An answer looks at all.
    """

    parts: tuple[BlendPart, ...] = (
        BlendPart(model="item_graph"),
        BlendPart(model="implicit_als", weight=0.3),
    )
    at_least: tuple[int, ...] = (0, 2, 3, 6)
    sample: int = 3_000
    depth: int = 100

    def __post_init__(self) -> None:
        require(self, "sample", 1)
        require(self, "depth", 1)
        if self.at_least[:1] != (0,) or any(np.diff(self.at_least) <= 0):
            raise InvalidInput(
                f"at_least is {self.at_least}; it must begin with 0 and rise", field="at_least"
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


def weight_table(config: BlendConfig) -> NDArray[np.float64]:
    """Weights of the parts at each length, float64 [lengths, parts]; they sum to one a length."""
    lengths = len(config.at_least)
    table = np.array(
        [part.weights or (part.weight,) * lengths for part in config.parts], dtype=np.float64
    )
    table = table.reshape(len(config.parts), lengths).T
    total = table.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = table / np.where(total > 0, total, 1.0)
    return shares


class Blend(Hybrid):
    """A mixture of normalised scores; weights and normalisers found on validation data.

    The search moves along one axis after the other, over the normaliser of a part and its share of
    the whole, for as long as NDCG@10 of the validation targets rises. Then the weights are moved
    again for each length of the history by itself; where too few users have so few events, others
    are known by as many of their last ones.

    Events and items go to the parts: one that learns while it serves (`item_graph`) learns here.

    Use it where models see different things: the item graph follows what happened a moment ago, a
    sequence model the order of events, popularity helps where next to nothing is known. Do not use
    it where one model will do: an answer costs that of all parts.

    Notes
    -----
    An answer scores all items by every part. Beside that it costs O(n_items * parts).
    """

    name: ClassVar[str] = "blend"
    config_type: ClassVar[type[Struct]] = BlendConfig
    space: ClassVar[Space] = {}

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Fit the parts, then find weights; with fewer than 100 validation users they stay.

        Afterwards `config` holds what was found, that of the parts included.
        """
        super().fit(data, validation=validation, seed=seed, progress=progress)
        if validation is not None:
            self.weigh(data, validation, seed=seed)
        return self

    def weigh(self, data: Dataset, validation: Histories, *, seed: int = 0) -> None:
        """Find normalisers and weights for parts that are fitted on `data`."""
        rows = HeldOutUsers(data.histories, validation, data.n_items)
        self.weigh_on([StackingFold(self.parts, rows)], seed=seed)

    def weigh_on(self, panels: Sequence[StackingFold], *, seed: int = 0) -> None:
        """Find normalisers and weights by what parts of these kinds say of other users.

        With a panel for each group of users, its parts fitted on the other groups, everybody can be
        asked about, and by parts that were not fitted on them: D. Wolpert, "Stacked
        generalization", Neural Networks 5(2), 1992.
        """
        found = find_weights(
            panels,
            weight_table(self.config).mean(axis=0),
            at_least=self.config.at_least,
            sample=self.config.sample,
            depth=self.config.depth,
            seed=seed,
        )
        if found is not None:
            self._keep(found)

    def score_many(self, histories: Histories) -> FloatArray:
        """Mixture of the parts' normalised scores, float32 [n_users, n_items]."""
        check_weights(histories)

        def scores_of(place: int, rows: NDArray[np.int64]) -> FloatArray:
            some = histories if len(rows) == len(histories) else histories.select(rows)
            return self.parts[place].score_many(some)

        return self._mixed(histories, scores_of)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Parts of the score of `item`; they sum to it.

        A part whose scores are divided by their sum is split as it splits its own score; of others
        there is one amount, under the model's name.
        """
        if len(history) != 1:
            raise InvalidInput(f"history has {len(history)} rows; explain takes one")
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

    def observe(self, before: Histories, events: Histories) -> None:
        """Teach new events to the parts that learn online."""
        for part in self._learning():
            part.observe(before, events)

    def forget(self, histories: Histories) -> None:
        """Remove users from the parts that learn online."""
        for part in self._learning():
            part.forget(histories)

    def rebuild_counts(self, histories: Histories, n_items: int) -> None:
        """Rebuild the counts of the parts that learn online."""
        for part in self._learning():
            part.rebuild_counts(histories, n_items)

    def preallocate(self, events: int) -> None:
        """Allocate memory in the parts that learn online."""
        for part in self._learning():
            part.preallocate(events)

    @property
    def pair_window(self) -> int:
        """Largest window of the parts that learn online; 0 without any."""
        return max((part.pair_window for part in self._learning()), default=0)

    def _learning(self) -> list[LearnsOnline]:
        return [part for part in self.parts if isinstance(part, LearnsOnline)]

    def _mixed(
        self, histories: Histories, scores_of: Callable[[int, NDArray[np.int64]], FloatArray]
    ) -> FloatArray:
        """Mix what `scores_of` gives of a part (by its place) for some rows of `histories`."""
        weights = self._weights(histories)
        total = np.zeros((len(histories), self.n_items), dtype=np.float32)
        for place in range(len(self.parts)):
            rows = np.flatnonzero(weights[:, place] > 0)
            if len(rows):
                found = self._normalised(place, scores_of(place, rows))
                # A part may have heard of an item since, or may never hear of it.
                width = min(found.shape[1], total.shape[1])
                found = found[:, :width] * weights[rows, place, None]
                if len(rows) == len(histories):
                    total[:, :width] += found
                else:
                    total[rows, :width] += found
        return total

    def _normalised(self, place: int, scores: FloatArray) -> FloatArray:
        given = self.config.parts[place]
        return normalised(scores, given.normaliser, given.temperature)

    def _weights(self, histories: Histories) -> FloatArray:
        """Weights of the parts for each history, float32 [n_users, parts]."""
        known = np.concatenate(([0], np.cumsum(histories.items >= 0)))
        lengths = np.diff(known[histories.indptr])
        row = np.searchsorted(self.config.at_least, lengths, side="right") - 1
        return weight_table(self.config).astype(np.float32)[row]

    def _keep(self, found: Found) -> None:
        """Write down what a search found."""
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
