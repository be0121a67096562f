"""What the statistics of an experiment know about a variant: six sums over its users."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class ArmSums(NamedTuple):
    """Sums over the users of one variant. Sums of disjoint groups of users can be added.

    Attributes
    ----------
    n : int
        Number of users.
    y, yy : float
        Sum of the outcome, one value per user, and of its square.
    x, xx, xy : float
        Sums of a covariate from before the experiment, its square and its product with the
        outcome; all 0 without a covariate.
    """

    n: int = 0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def plus(self, other: "ArmSums") -> "ArmSums":
        """Return the sums over the users of both."""
        n, *sums = (one + two for one, two in zip(self, other, strict=True))
        return ArmSums(int(n), *sums)

    def mean(self) -> float:
        """Return the mean outcome, or 0 without users."""
        return self.y / self.n if self.n else 0.0

    def variance(self, theta: float = 0.0) -> float:
        """Return the variance of `outcome - theta * covariate` over the users (divisor n - 1)."""
        if self.n < 2:
            return 0.0
        spread = self.centred(self.yy, self.y, self.y)
        if theta:
            spread -= 2.0 * theta * self.centred(self.xy, self.x, self.y)
            spread += theta * theta * self.centred(self.xx, self.x, self.x)
        return max(spread, 0.0) / (self.n - 1)

    def centred(self, product: float, one: float, two: float) -> float:
        """Return a sum of products of deviations from the means."""
        return product - one * two / self.n if self.n else 0.0


def arm_sums(outcome: ArrayLike, covariate: ArrayLike | None = None) -> ArmSums:
    """Sum one variant's outcomes and, if given, covariates: one value of each per user.

    Raises
    ------
    ValueError
        Lengths differ or a value is not finite.
    """
    y = np.asarray(outcome, dtype=np.float64)
    x = np.zeros_like(y) if covariate is None else np.asarray(covariate, dtype=np.float64)
    if y.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"outcome has shape {y.shape} and covariate {x.shape}; give one per user")
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise ValueError("outcomes and covariates must be finite")
    return ArmSums(len(y), float(y.sum()), float(y @ y), float(x.sum()), float(x @ x), float(x @ y))
