"""What items led to: how often each was shown and opened, for exploration."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.posteriors import LinearPosterior
from nearline.served.attribution import CLICKS, Attributed

# Showings and click-through of the prior that all items share.
PRIOR_SHOWN = 20.0
DEFAULT_RATE = 0.05
# Showings of the prior of each position, at which it is as good as the average one.
PRIOR_LINES = 100.0


class ItemOutcomes(NamedTuple):
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
        known = items < len(self.shown)
        shown, clicked = np.zeros(len(items)), np.zeros(len(items))
        shown[known], clicked[known] = self.shown[items[known]], self.clicked[items[known]]
        prior = PRIOR_SHOWN * self.rate
        # Weighted showings can be fewer than clicks.
        return clicked + prior, np.maximum(shown - clicked, 0.0) + PRIOR_SHOWN - prior


def outcomes_of(
    attributed: Iterable[Attributed],
    n_items: int,
    index_of: Callable[[str], int | None],
    at: float,
    relations: Sequence[str] = (),
) -> ItemOutcomes:
    """Count what items led to in lists that were served before a time (Unix seconds).

    `relations` are those of the active model, for linear Thompson sampling.

    Notes
    -----
    Low positions are seen less often, so an item that stands there must not look worse than others:
    its clicks are compared with the clicks that are expected at its positions (V. Zhang, R. Jones:
    Comparing Click Logs and Editorial Labels for Training Query Rewriting, WWW 2007).
    """
    features, rewards = list[list[float]](), list[float]()
    shown, clicked = np.zeros(n_items), np.zeros(n_items)
    before = [one for one in attributed if one.served.timestamp < at]
    expected = _position_factors(before, at)
    for one in before:
        hits = _hits(one, at)
        parts = one.served.parts
        for place, item_id in one.shown:
            if parts and relations:
                features.append(
                    [parts[name][place] if name in parts else 0.0 for name in relations]
                )
                rewards.append(float(item_id in hits))
            index = index_of(item_id)
            if index is not None and index < n_items:
                shown[index] += expected[place]
                clicked[index] += item_id in hits
    total = float(shown.sum())
    # As if the default rate had been seen a hundred times.
    rate = (float(clicked.sum()) + 100.0 * DEFAULT_RATE) / (total + 100.0)
    rate = min(max(rate, 1e-4), 0.9)
    linear = None
    if features:
        linear = linear_prior(len(relations), rate)
        x = np.array(features)
        linear.update(x, np.array(rewards) - rate * x.sum(axis=1))
    return ItemOutcomes(at, shown, clicked, rate, tuple(relations), linear)


def _hits(one: Attributed, at: float) -> set[str]:
    """Return the items of a list that were clicked before a time."""
    return {led.item_id for led in one.outcomes if led.kind in CLICKS and led.timestamp < at}


def _position_factors(attributed: Sequence[Attributed], at: float) -> NDArray[np.float64]:
    """Return the click-through of each position (from 0) relative to that of all positions.

    As if each position had had another `PRIOR_LINES` showings with the average click-through.
    """
    longest = max((len(one.served.item_ids) for one in attributed), default=0)
    lines, clicks = np.zeros(longest), np.zeros(longest)
    for one in attributed:
        hits = _hits(one, at)
        for place, item_id in one.shown:
            lines[place] += 1.0
            clicks[place] += item_id in hits
    if not clicks.any():
        return np.ones(longest)
    average = clicks.sum() / lines.sum()
    return np.asarray((clicks / average + PRIOR_LINES) / (lines + PRIOR_LINES))


def linear_prior(n_relations: int, rate: float) -> LinearPosterior:
    """Return the prior: weights as trained, times the click-through, give or take a half.

    The noise has the variance rate (1 - rate), so this precision makes the standard deviation of a
    weight rate / 2.
    """
    return LinearPosterior(n_relations, prior=4.0 * (1.0 - rate) / rate)


def sampled_weights(
    outcomes: ItemOutcomes | None, relations: Sequence[str], m: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw weights of relations, relative to the trained ones: float64 [m, relations]."""
    rate = DEFAULT_RATE if outcomes is None else outcomes.rate
    linear = None
    if outcomes is not None and outcomes.relations == tuple(relations):
        linear = outcomes.linear
    if linear is None:
        linear = linear_prior(len(relations), rate)
    return 1.0 + linear.samples(m, rng, scale=math.sqrt(rate * (1.0 - rate))) / rate
