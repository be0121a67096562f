"""Lists that explore, with the exact probability of each choice.

A list is drawn position by position. At each position, a policy defines a distribution over the
candidates that are not in the list yet. The *propensity* of a line is the probability that its item
had in that distribution, given the lines above it; over all remaining candidates these
probabilities sum to 1.

All draws come from one integer seed, so the same seed gives the same list on every machine. A seed
from a keyed hash of the user, scenario and time window keeps a list still within the window.

- epsilon: `sampled_list` with the scores as the only sample and `floor` as epsilon;
- softmax: `softmax_list`;
- Thompson sampling: `sampled_list` with samples of a posterior (see `nearline.kernels.posteriors`).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.splitmix import next_state, random_bits

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

# Weights of a softmax are computed again once the largest remaining one is below this.
_SMALLEST = 1e-100


class Draw(NamedTuple):
    """A list of k candidates that was drawn by a policy.

    Attributes
    ----------
    order : int64 [k]
        Indices of the candidates, the first position first.
    propensity : float64 [k]
        Probability of each choice given the choices above it; 1 at the places that are kept.
    explored : bool [k]
        Whether the choice differs from the remaining candidate with the highest score.
    """

    order: Longs
    propensity: Doubles
    explored: NDArray[np.bool_]


def softmax_list(
    scores: Doubles,
    k: int,
    *,
    temperature: float,
    floor: float = 0.0,
    new: float = 0.0,
    n_new: int = 0,
    keep_top: int = 0,
    seed: int,
) -> Draw:
    """Draw a list whose choices follow a softmax of the scores (Plackett-Luce).

    The k largest sums of `score / temperature` and Gumbel noise are distributed as k choices
    without replacement, so one selection replaces k normalised draws (Kool et al., ICML 2019).

    Parameters
    ----------
    scores : float64 [n]
        Finite scores of the candidates.
    k : int
        Length of the list; at most n lines are drawn.
    temperature : float
        Positive, in units of the score. Low temperatures approach the ranking by score.
    floor, new, n_new
        See `sampled_list`; the remaining probability is that of the softmax.
    keep_top : int
        Number of first places that keep the ranking by score.
    seed : int
        Seed of the noise, from 0 to 2^64 - 1.

    Raises
    ------
    ValueError
        An option is out of range or a score is not finite.

    Notes
    -----
    Takes O(k n) time: about 0.02 ms for lists of 10 of 200. A candidate that is taken by a uniform
    choice leaves the noise of the others as it is, so their choices still follow the softmax.
    """
    _check(scores, k, keep_top)
    _check_shares(floor, new, n_new, len(scores))
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}; it must be a positive number")
    k = min(k, len(scores))
    scale, draws = 1.0 / temperature, np.uint64(seed)
    return Draw(*_softmax(scores, k, scale, keep_top, floor, new, n_new, draws))


def sampled_list(
    scores: Doubles,
    samples: Doubles,
    k: int,
    *,
    floor: float = 0.0,
    new: float = 0.0,
    n_new: int = 0,
    keep_top: int = 0,
    seed: int,
    overwrite: bool = False,
) -> Draw:
    """Draw each position from the best remaining candidates of randomly chosen samples.

    At each position, one row of `samples` is chosen uniformly, and with it its best remaining
    candidate. The propensity is therefore the share of rows in which the chosen candidate is the
    best remaining one: exact for the given samples, without integrals over the posterior.

    Parameters
    ----------
    scores : float64 [n]
        Scores by which the kept places are ranked and `explored` is decided.
    samples : float64 [m, n]
        Each row holds one sample of every candidate's value.
    k : int
        Length of the list; at most n lines are drawn.
    floor : float
        Probability, from 0 to 1, with which a position is drawn uniformly from all remaining
        candidates instead. A positive floor gives every candidate a positive propensity.
    new : float
        Probability, from 0 to 1, with which a position that the floor doesn't decide is drawn
        uniformly from the remaining new candidates, while there are any.
    n_new : int
        Number of new candidates: the last ones.
    keep_top : int
        Number of first places that keep the ranking by score.
    seed : int
        Seed of the draws, from 0 to 2^64 - 1.
    overwrite : bool
        Whether `samples` may be changed, which saves a copy.

    Raises
    ------
    ValueError
        An option is out of range, or shapes differ.

    Notes
    -----
    Takes O(k m n) time at most; a row's best candidate is searched again only after it was taken.
    """
    _check(scores, k, keep_top)
    if samples.ndim != 2 or not len(samples) or samples.shape[1] != len(scores):
        raise ValueError(f"samples have shape {samples.shape}; it must be [m, {len(scores)}]")
    # The sum decides faster, unless it overflows.
    if not (math.isfinite(samples.sum()) or np.isfinite(samples).all()):
        raise ValueError("samples must be finite")
    _check_shares(floor, new, n_new, len(scores))
    k = min(k, len(scores))
    # Candidates that are taken get the value -inf, so that the search for the best has one branch.
    values = samples if overwrite else samples.copy()
    return Draw(*_sampled(scores, values, k, floor, new, n_new, keep_top, np.uint64(seed)))


def epsilon_list(scores: Doubles, k: int, *, epsilon: float, keep_top: int = 0, seed: int) -> Draw:
    """Draw the best remaining candidate at each position, or with probability epsilon any of them.

    The parameters are those of `sampled_list`, whose `floor` is called `epsilon` here.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon is {epsilon}; it must be between 0 and 1")
    return sampled_list(scores, scores[None], k, floor=epsilon, keep_top=keep_top, seed=seed)


def softmax_distribution(scores: Doubles, taken: Longs, *, temperature: float) -> Doubles:
    """Return the probability of each candidate at the position after those of `taken`: float64 [n].

    Candidates that are taken have probability 0; the others sum to 1.
    """
    logits = scores / temperature
    logits[taken] = -np.inf
    logits = np.exp(logits - logits.max())
    return np.asarray(logits / logits.sum())


def sampled_distribution(samples: Doubles, taken: Longs, *, floor: float = 0.0) -> Doubles:
    """Return the probability of each candidate at the position after those of `taken`: float64 [n].

    Candidates that are taken have probability 0; the others sum to 1. With `scores[None]` as the
    samples, this is the distribution of `epsilon_list`.
    """
    open_ = np.ones(samples.shape[1])
    open_[taken] = 0.0
    best = np.where(open_ > 0.0, samples, -np.inf).argmax(axis=1)
    share = np.bincount(best, minlength=len(open_)) / len(samples)
    return np.asarray((1.0 - floor) * share + floor * open_ / open_.sum())


def _check(scores: Doubles, k: int, keep_top: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    if keep_top < 0:
        raise ValueError(f"keep_top is {keep_top}; it must be at least 0")
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError("scores must be finite, and there must be at least one")


def _check_shares(floor: float, new: float, n_new: int, n: int) -> None:
    for name, share in (("floor", floor), ("new", new)):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} is {share}; it must be between 0 and 1")
    if not 0 <= n_new <= n:
        raise ValueError(f"n_new is {n_new}; it must be between 0 and {n}")


@njit(cache=True)
def _uniform(state: np.uint64) -> float:
    """Return a number in (0, 1) from a state of the generator."""
    return (float(random_bits(state) >> np.uint64(12)) + 0.5) * 2.0**-52


@njit(cache=True)
def _best_open(values: Doubles, taken: NDArray[np.bool_]) -> int:
    """Return the index of the largest value that is not taken; the lowest index if several are."""
    best = -1
    for index in range(len(values)):
        if not taken[index] and (best < 0 or values[index] > values[best]):
            best = index
    return best


@njit(cache=True, fastmath={"nnan", "nsz"})  # so that the maximum is computed by vectors
def _largest(values: Doubles) -> int:
    """Return the index of the largest value; the lowest index if several are."""
    largest = values[0]
    for index in range(1, len(values)):
        largest = max(largest, values[index])
    best = 0
    while values[best] != largest:
        best += 1
    return best


@njit(cache=True)
def _open_at(taken: NDArray[np.bool_], first: int, drawn: float) -> int:
    """Return the candidate from `first` on, not taken, at a share of those in their order."""
    left = 0
    for index in range(first, len(taken)):
        left += not taken[index]
    before = int(drawn * left)
    for index in range(first, len(taken)):
        if not taken[index]:
            if not before:
                return index
            before -= 1
    return -1


@njit(cache=True)
def _uniform_choice(
    taken: NDArray[np.bool_], floor: float, new: float, n_new: int, state: np.uint64
) -> tuple[int, float, float, float, np.uint64]:
    """Decide whether a place is drawn uniformly.

    Returns the candidate that is drawn so, or -1; the probability that the place isn't drawn so;
    those of each remaining candidate and, in addition, of each remaining new one to be drawn so;
    and the next state of the generator.
    """
    if floor == 0.0 and (new == 0.0 or n_new == 0):
        return -1, 1.0, 0.0, 0.0, state
    first, left, left_new = len(taken) - n_new, 0, 0
    for index in range(len(taken)):
        left += not taken[index]
        left_new += index >= first and not taken[index]
    share = (1.0 - floor) * new if left_new else 0.0
    state = next_state(state)
    kind = _uniform(state)
    chosen = -1
    if kind < floor + share:
        state = next_state(state)
        chosen = _open_at(taken, 0 if kind < floor else first, _uniform(state))
    each_new = share / left_new if left_new else 0.0
    return chosen, 1.0 - floor - share, floor / left, each_new, state


@njit(cache=True)
def _softmax(
    scores: Doubles,
    k: int,
    scale: float,
    keep_top: int,
    floor: float,
    new: float,
    n_new: int,
    seed: np.uint64,
) -> tuple[Longs, Doubles, NDArray[np.bool_]]:
    n = len(scores)
    noisy = np.empty(n)
    weights = np.empty(n)
    top = scores.max()
    state = seed
    for index in range(n):
        state = next_state(state)
        logit = (scores[index] - top) * scale
        noisy[index] = logit - math.log(-math.log(_uniform(state)))
        weights[index] = math.exp(logit)
    taken = np.zeros(n, dtype=np.bool_)
    order = np.empty(k, dtype=np.int64)
    propensity = np.ones(k)
    explored = np.zeros(k, dtype=np.bool_)
    for position in range(k):
        best = _best_open(scores, taken)
        chosen = best
        if position >= keep_top:
            chosen, rest, each, each_new, state = _uniform_choice(taken, floor, new, n_new, state)
            if chosen < 0:
                chosen = _best_open(noisy, taken)
            if weights[best] < _SMALLEST:
                # Relative to the best remaining score, so that no weight that matters is 0.
                for index in range(n):
                    if not taken[index]:
                        weights[index] = math.exp((scores[index] - scores[best]) * scale)
            remaining = 0.0
            for index in range(n):
                if not taken[index]:
                    remaining += weights[index]
            propensity[position] = rest * weights[chosen] / remaining + each
            if chosen >= n - n_new:
                propensity[position] += each_new
            explored[position] = chosen != best
        order[position] = chosen
        taken[chosen] = True
    return order, propensity, explored


@njit(cache=True)
def _sampled(
    scores: Doubles,
    values: Doubles,
    k: int,
    floor: float,
    new: float,
    n_new: int,
    keep_top: int,
    seed: np.uint64,
) -> tuple[Longs, Doubles, NDArray[np.bool_]]:
    m, n = values.shape
    taken = np.zeros(n, dtype=np.bool_)
    best_of = np.full(m, -1)
    order = np.empty(k, dtype=np.int64)
    propensity = np.ones(k)
    explored = np.zeros(k, dtype=np.bool_)
    state = seed
    for position in range(k):
        best = _best_open(scores, taken)
        chosen = best
        if position >= keep_top:
            for row in range(m):
                if best_of[row] < 0 or taken[best_of[row]]:
                    best_of[row] = _largest(values[row])
            chosen, rest, each, each_new, state = _uniform_choice(taken, floor, new, n_new, state)
            if chosen < 0:
                state = next_state(state)
                chosen = best_of[int(_uniform(state) * m)]
            votes = 0
            for row in range(m):
                votes += best_of[row] == chosen
            propensity[position] = rest * votes / m + each
            if chosen >= n - n_new:
                propensity[position] += each_new
            explored[position] = chosen != best
        order[position] = chosen
        taken[chosen] = True
        values[:, chosen] = -np.inf
    return order, propensity, explored
