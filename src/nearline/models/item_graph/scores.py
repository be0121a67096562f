"""Scoring with an item graph: lists, explanations, and the choice between two kinds of users."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.kernels.diversity import Sparse
from nearline.kernels.edges import Rows
from nearline.kernels.returning import other_parts, recommend_returning, score_returning
from nearline.kernels.scoring import Graph, recommend_rows, score_parts, score_rows
from nearline.kernels.sparse_scores import relation_parts, score_row
from nearline.models.base import Model, ModelPart, Ranking, check_k, check_single, check_weights
from nearline.models.capabilities import SparseScores
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.content_relations import ContentRelations
from nearline.models.item_graph.counted_relation import CountedRelation
from nearline.models.item_graph.features import described_by_edges
from nearline.models.item_graph.graph_store import Doubles, GraphStore, decay_ratios
from nearline.models.item_graph.lately import RecentCounts
from nearline.models.item_graph.relations import weights_and_half_lives
from nearline.schema.segments import KINDS, by_kind, factors_of_kind, kinds_of

NO_FACTORS: Mapping[str, float] = MappingProxyType({})
# Parts of a score beside the relations; see `kernels.returning`.
LATELY, REPEATS = "lately", "repeats"


class ScoresByGraph(Model):
    """Abstract base class of the item graph: the methods that rank and explain.

    The score of a user in a session consists of the relations; that of a user who returns after a
    while has the terms of `kernels.returning`, too.
    """

    _store: GraphStore
    _counted: dict[str, CountedRelation]
    _content: ContentRelations
    _recent: RecentCounts
    _weighted: "dict[str, Weighted] | None" = None
    factors: Mapping[str, float] = NO_FACTORS
    # Whether factors differ by the kind of user.
    _by_kind = False

    def set_factors(self, factors: Mapping[str, float]) -> None:
        """Multiply the weights of relations by factors; see `AdaptsWeights`."""
        self.factors, self._by_kind = factors, by_kind(factors)

    def factors_for(self, history: Histories) -> Mapping[str, float]:
        """Return the factor of each relation for one history."""
        return factors_of_kind(self.factors, self._kind(history), self.relations)

    def trained_weights(self) -> dict[str, float]:
        """Return the weight of each relation, without factors."""
        scales = [counted.scale for counted in self._counted.values()]
        weights = weigh(self.relations, self.config, scales).weights
        return dict(zip(self.relations, weights.tolist(), strict=True))

    def relation_parts(self, history: Histories, items: IntArray) -> Doubles:
        """Return what each relation adds to the scores of items, without factors."""
        check_single(history)
        rows = self._rows(history)
        scales = [counted.scale for counted in self._counted.values()]
        plain = weigh(self.relations, self.config, scales)
        graph = self._store.view(plain.weights, plain.ratios, self.config.max_history)
        return relation_parts(graph, rows, items)

    @property
    def n_items(self) -> int:
        """Number of items that the model can score."""
        return self._store.n_items

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the relations, in the order of summation."""
        return self._store.names

    def criteria(self) -> dict[str, float]:
        """Return the weights of the relations, each of which is scaled to the same total."""
        weights, _ = weights_and_half_lives(self.relations, self.config)
        return dict(zip(self.relations, weights.tolist(), strict=True))

    def score_many(self, histories: Histories) -> FloatArray:
        """Return the scores of all items: float32 [n_users, n_items], 0 for items without edges."""
        groups = self._groups(histories)
        if len(groups) > 1:
            scores = np.empty((len(histories), self.n_items), dtype=np.float32)
            for group in groups:
                scores[group] = self.score_many(histories.select(group))
            return scores
        rows, returning = self._rows(histories), self._returning(histories)
        kind = self._kind(histories)
        scores = score_rows(self._graph(kind), rows)
        if returning.any():
            theirs = self._rows(histories.select(np.flatnonzero(returning)))
            graph = self._graph(kind, returning=True)
            scores[returning] = score_returning(graph, self._recent.terms(), theirs)
        return scores

    def score_sparse(self, history: Histories) -> SparseScores:
        """Return the scores other than 0 for one history; see `ScoresSparsely`."""
        check_single(history)
        if self._returning(history)[0]:  # a score may have terms for all items
            scores = self.score_many(history)[0]
            items = np.flatnonzero(scores).astype(np.int32)
            return SparseScores(items, scores[items])
        return SparseScores(*score_row(self._graph(self._kind(history)), self._rows(history)))

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Ranking:
        """Return the `k` items with the highest scores above zero; see `Model.recommend_from`."""
        check_k(k)
        if histories.features is not None:
            return self._recommend_with_features(
                histories, k, exclude_seen=exclude_seen, allowed=allowed
            )
        groups = self._groups(histories)
        if len(groups) > 1:
            return self._recommend_groups(
                histories, k, groups, exclude_seen=exclude_seen, allowed=allowed
            )
        kind = self._kind(histories)
        if not self._recent.active or not (returning := self._returning(histories)).any():
            rows = self._rows(histories)
            best = recommend_rows(
                self._graph(kind), rows, k, exclude_seen=exclude_seen, allowed=allowed
            )
            return Ranking(best.items, best.scores)
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        if not returning.all():
            rows = self._rows(histories.select(np.flatnonzero(~returning)))
            items[~returning], scores[~returning] = recommend_rows(
                self._graph(kind), rows, k, exclude_seen=exclude_seen, allowed=allowed
            )
            histories = histories.select(np.flatnonzero(returning))
        items[returning], scores[returning] = recommend_returning(
            *(self._graph(kind, returning=True), self._recent.terms(), self._rows(histories), k),
            exclude_seen=exclude_seen,
            allowed=allowed,
        )
        return Ranking(items, scores)

    @abstractmethod
    def _recommend_with_features(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool,
        allowed: NDArray[np.bool_] | None,
    ) -> Ranking:
        """Return the best items for histories with features; see `Model.recommend_from`."""

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return similar items: the recommendations for a history that consists of the item."""
        events = Histories.from_rows([[int(item)] for item in items])
        return self.recommend_from(events, k)

    def related(self, items: IntArray, k: int, relations: Sequence[str]) -> Ranking:
        """Return similar items by some relations only; see `nearline.models.capabilities.related`.

        The relations have their weights in the score, or equal ones if all of these are 0.
        """
        check_k(k)
        known = self._weights()
        chosen = [
            any(name == one or (one[-1:] == ":" and name.startswith(one)) for one in relations)
            for name in self.relations
        ]
        weights = np.where(chosen, known.weights, 0.0)
        if not weights.any():
            weights[chosen] = 1.0
        graph = self._store.view(weights, known.ratios, self.config.max_history)
        rows = _plain_rows(Histories.from_rows([[int(item)] for item in items]))
        best = recommend_rows(graph, rows, k, exclude_seen=True, allowed=None)
        return Ranking(best.items, best.scores)

    def search_text(
        self, text: str, k: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Return the items whose texts have the largest TF-IDF cosine with `text`."""
        check_k(k)
        items, cosines = self._content.search_text(text, k, allowed)
        return Ranking(items[None], cosines[None])

    def describe(self, items: IntArray) -> Sparse:
        """Return features of items: their texts and vectors, or else the items chosen with them."""
        found = self._content.describe(items)
        return found if len(found.columns) else described_by_edges(self._store, items)

    def explain(self, history: Histories, item: int) -> list[ModelPart]:
        """Return the parts of the score of `item`.

        There is a part for each event, oldest first, and relation. The score of a user who returns
        also has the parts `REPEATS` of events with the item itself, and a part `LATELY`, which
        belongs to no event.
        """
        check_single(history)
        rows, returning = _plain_rows(history), bool(self._returning(history)[0])
        graph = self._graph(self._kind(history), returning=returning)
        parts = score_parts(graph, rows, item)
        lately, own = 0.0, np.zeros(0)
        if returning:
            terms = self._recent.terms()
            parts *= terms.rises[item]
            lately, own = other_parts(graph, terms, rows, item)
        found = [
            ModelPart(int(event), self.relations[relation], float(parts[event, relation]))
            for event, relation in np.argwhere(parts)
        ]
        found += [ModelPart(int(at), REPEATS, float(own[at])) for at in np.flatnonzero(own)]
        return [*found, ModelPart(-1, LATELY, lately)] if lately else found

    def _returning(self, histories: Histories) -> NDArray[np.bool_]:
        """Return which users get a score with the terms of time and repeats: bool [n]."""
        if not self._recent.active:
            return np.zeros(len(histories), dtype=np.bool_)
        return self._recent.returning(histories)

    def _rows(self, histories: Histories) -> Rows:
        """Return the events to score; if they are a set, in the order of the items."""
        rows = _plain_rows(histories)
        if len(rows.items) < 2 or self._weights().ordered:
            return rows
        # Sums of floating-point numbers then do not depend on the order of the events.
        users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        order = np.lexsort((rows.items, users))
        return Rows(rows.indptr, rows.items[order], rows.weights[order])

    def _groups(self, histories: Histories) -> list[NDArray[np.int64]]:
        """Return the rows of each kind of users, if factors differ by kind."""
        if not self._by_kind or len(histories) < 2:
            return []
        kinds = kinds_of(histories)
        return [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]

    def _kind(self, histories: Histories) -> str:
        """Return the kind of users who are all of the same one; empty if it does not matter."""
        if not self._by_kind or not len(histories):
            return ""
        return KINDS[int(kinds_of(histories)[0])]

    def _recommend_groups(
        self,
        histories: Histories,
        k: int,
        groups: Sequence[NDArray[np.int64]],
        *,
        exclude_seen: bool,
        allowed: NDArray[np.bool_] | None,
    ) -> Ranking:
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        for group in groups:
            items[group], scores[group] = self.recommend_from(
                histories.select(group), k, exclude_seen=exclude_seen, allowed=allowed
            )
        return Ranking(items, scores)

    def _graph(self, kind: str = "", *, returning: bool = False) -> Graph:
        known = self._weights(kind)
        ratios = known.returning if returning else known.ratios
        return self._store.view(known.weights, ratios, self.config.max_history)

    def _weights(self, kind: str = "") -> "Weighted":
        scales = [counted.scale for counted in self._counted.values()]
        if self._weighted is None:
            self._weighted = {}
        known = self._weighted.get(kind)
        same = known is not None and known.config is self.config and known.scales == scales
        if known is None or not same or known.factors is not self.factors:
            known = weigh(self.relations, self.config, scales, self.factors, kind)
            self._weighted[kind] = known
        return known


def _plain_rows(histories: Histories) -> Rows:
    check_weights(histories)
    return Rows(histories.indptr, histories.items, histories.weights)


class Weighted(NamedTuple):
    """Weights and decays of the relations, computed once for some settings and scales.

    Attributes
    ----------
    config, scales
        The settings, and the scale of each counted relation.
    weights, ratios : float64 [R]
        Weight of each relation, and the factor by which it decays with each event.
    returning : float64 [R]
        The decay for users who return after a while.
    ordered : bool
        Whether a score depends on the order of the events.
    factors : mapping of str to float
        Factors of the weights by relation, which `weights` contains.
    """

    config: ItemGraphConfig
    scales: list[float]
    weights: Doubles
    ratios: Doubles
    returning: Doubles
    ordered: bool
    factors: Mapping[str, float] = NO_FACTORS


def weigh(
    names: tuple[str, ...],
    config: ItemGraphConfig,
    scales: list[float],
    factors: Mapping[str, float] = NO_FACTORS,
    kind: str = "",
) -> Weighted:
    """Compute the weights and decays of the relations."""
    weights, half_lives = weights_and_half_lives(names, config)
    weights[: len(scales)] *= scales
    if factors:
        weights *= list(factors_of_kind(factors, kind, names).values())
    ratios = decay_ratios(half_lives)
    patient = decay_ratios(half_lives * config.lately.patience)
    ordered = bool(((ratios < 1.0) & (weights != 0.0)).any())
    return Weighted(config, scales, weights, ratios, patient, ordered, factors)
