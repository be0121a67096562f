"""What items led to: how often each was shown and opened, for exploration."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.beta_tables import BetaTables
from nearline.kernels.posteriors import LinearPosterior
from nearline.kernels.splitmix import random_rows
from nearline.schema import DAY
from nearline.served.outcome_counts import Counted, OutcomeCounts

# The prior that all items share is worth so many clicks, with the click-through of all items. With
# fewer, more of the items that were rarely shown are tried, each for a shorter time.
PRIOR_CLICKS = 0.3
# Click-through before the first click.
DEFAULT_RATE = 0.05
# Showings of the prior of each position, at which it is as good as the average one.
PRIOR_LINES = 100.0
# Days after which a showing counts half.
HALF_LIFE_DAYS = 20.0
# Samples of the weights of relations that are kept.
WEIGHTS = 4_096


@dataclass(frozen=True, eq=False)
class ItemOutcomes:
    """Showings of items and how many led to a click, up to a time.

    Attributes
    ----------
    at : float
        Time in Unix seconds up to which lists count.
    shown, clicked : float64 [n_items]
        By index of the item. A showing at a position counts as the click-through of this position,
        relative to that of all positions.
    rate : float
        Click-through of all items.
    relations : tuple of str
        Relations of the score, for linear Thompson sampling.
    linear : LinearPosterior or None
        Posterior of how much more a part of each relation is worth than of the average one.
    """

    at: float
    shown: NDArray[np.float64]
    clicked: NDArray[np.float64]
    rate: float
    relations: tuple[str, ...] = ()
    linear: LinearPosterior | None = None

    def of(self, items: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the parameters of the Beta posterior of the click-through of items."""
        slot_of, tables = self._posteriors
        slots = slot_of[np.minimum(items, len(slot_of) - 1)]
        return tables.alpha[slots], tables.beta[slots]

    def samples(
        self, items: NDArray[np.int32], scores: NDArray[np.float64], m: int, seed: int
    ) -> NDArray[np.float64]:
        """Return scores times m samples of the click-through of their items: float64 [m, n].

        The click-through is relative to that of all items. Posteriors are kept as tables of
        quantiles; see `nearline.kernels.beta_tables`.
        """
        slot_of, tables = self._posteriors
        slots = slot_of[np.minimum(items, len(slot_of) - 1)]
        return tables.draw(slots, scores / self.rate, m, seed)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Samples of the weights of relations, relative to the trained ones: [WEIGHTS, relations].

        Needs `linear`.
        """
        if self.linear is None:
            raise ValueError("there is no posterior of weights")
        return _of_posterior(self.linear, self.rate)

    @cached_property
    def _posteriors(self) -> tuple[NDArray[np.int64], BetaTables]:
        """Slot of each item, and posteriors by slot.

        The last slot is that of items that were never shown, and of those that came later.
        """
        n = len(self.shown)
        unseen = (self.shown == 0.0) & (self.clicked == 0.0)
        slot_of = np.append(np.where(unseen, n, np.arange(n)), n)
        misses = PRIOR_CLICKS / self.rate - PRIOR_CLICKS
        # Weighted showings can be fewer than clicks.
        failed = np.maximum(self.shown - self.clicked, 0.0)
        posteriors = np.append(self.clicked, 0.0) + PRIOR_CLICKS, np.append(failed, 0.0) + misses
        return slot_of, BetaTables(*posteriors)


def outcomes_of(
    counts: OutcomeCounts,
    n_items: int,
    index_of: Callable[[str], int | None],
    at: float,
    relations: Sequence[str] = (),
) -> ItemOutcomes:
    """Return what items led to before a time (Unix seconds), up to which `counts` has counted.

    `relations` are those of the active model, for linear Thompson sampling.

    Notes
    -----
    Low positions are seen less often, so an item that stands there must not look worse than others:
    its clicks are compared with the clicks that are expected at its positions (V. Zhang, R. Jones:
    Comparing Click Logs and Editorial Labels for Training Query Rewriting, WWW 2007).
    """
    today = at // DAY * DAY
    found = counts.counted(lambda begin: 0.5 ** ((today - begin) / DAY / HALF_LIFE_DAYS))
    weighted = found.shown * _position_factors(found)[found.places]
    indices = [index_of(item_id) for item_id in counts.item_ids]
    index = np.array([n_items if one is None else min(one, n_items) for one in indices], np.int64)
    shown, clicked = (
        np.asarray(np.bincount(index[found.items], values, n_items + 1)[:n_items], np.float64)
        for values in (weighted, found.clicked)
    )
    total = float(shown.sum())
    # As if the default rate had been seen a hundred times.
    rate = (float(clicked.sum()) + 100.0 * DEFAULT_RATE) / (total + 100.0)
    rate = min(max(rate, 1e-4), 0.9)
    linear = _linear(found, relations, rate)
    return ItemOutcomes(at, shown, clicked, rate, tuple(relations), linear)


def _position_factors(found: Counted) -> NDArray[np.float64]:
    """Return the click-through of each position (from 0) relative to that of all positions.

    As if each position had had another `PRIOR_LINES` showings with the average click-through.
    """
    lines, clicks = (np.bincount(found.places, values) for values in (found.shown, found.clicked))
    if not clicks.any():
        return np.ones(len(lines))
    average = clicks.sum() / lines.sum()
    return np.asarray((clicks / average + PRIOR_LINES) / (lines + PRIOR_LINES))


def _linear(found: Counted, relations: Sequence[str], rate: float) -> LinearPosterior | None:
    """Return the posterior of the weights of some relations; None if no line has parts."""
    n = len(relations)
    if not n or not found.linear:
        return None
    squares, clicked = np.zeros((n, n)), np.zeros(n)
    for names, (theirs, hits) in found.linear.items():
        known = [at for at, name in enumerate(relations) if name in names]
        own = [names.index(relations[at]) for at in known]
        squares[np.ix_(known, known)] += theirs[np.ix_(own, own)]
        clicked[known] += hits[own]
    linear = linear_prior(n, rate)
    # The reward of a line is its click, less that of an average line with the same score.
    linear.add(squares, clicked - rate * squares.sum(axis=1))
    return linear


def linear_prior(n_relations: int, rate: float) -> LinearPosterior:
    """Return the prior: weights as trained, times the click-through, give or take a half.

    The noise has the variance rate (1 - rate), so this precision makes the standard deviation of a
    weight rate / 2.
    """
    return LinearPosterior(n_relations, prior=4.0 * (1.0 - rate) / rate)


def sampled_weights(
    outcomes: ItemOutcomes | None, relations: Sequence[str], m: int, seed: int
) -> NDArray[np.float64]:
    """Draw weights of relations, relative to the trained ones: float64 [m, relations].

    They are drawn from `WEIGHTS` samples of the posterior, which are kept.
    """
    if outcomes is None or outcomes.relations != tuple(relations) or outcomes.linear is None:
        rate = DEFAULT_RATE if outcomes is None else outcomes.rate
        kept = _of_prior(len(relations), rate)
    else:
        kept = outcomes.weights
    return np.asarray(kept[random_rows(len(kept), m, np.uint64(seed))])


@lru_cache(maxsize=8)
def _of_prior(n_relations: int, rate: float) -> NDArray[np.float64]:
    return _of_posterior(linear_prior(n_relations, rate), rate)


def _of_posterior(linear: LinearPosterior, rate: float) -> NDArray[np.float64]:
    rng, scale = np.random.default_rng(0), math.sqrt(rate * (1.0 - rate))
    return 1.0 + linear.samples(WEIGHTS, rng, scale=scale) / rate
