"""Fixed-share Hedge over factors of the weights of relations.

Each expert multiplies the weight of at most one relation. After an event, the loss of an expert is
one minus the discounted gain of the item's rank among candidates, by the expert's scores. Experts
lose weight exponentially in their losses, and a small share of the weight is redistributed in each
step, so that the best expert may change (M. Herbster and M. Warmuth: Tracking the Best Expert,
Machine Learning 32, 1998). The factors in use are the experts' mean, so they stay within the bounds
of the experts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

LEVELS = (0.25, 0.5, 2.0, 4.0)
# Learning rate, and the share of the weight that is redistributed in each step.
ETA, SHARE = 0.5, 0.002


class HedgedFactors:
    """Learns factors of the weights of relations from the ranks of items.

    Parameters
    ----------
    relations : sequence of str
        Names of the relations, in the order of the parts.
    weights : mapping of str to float
        Weights of experts from an earlier run, by name; unknown names are ignored.
    """

    def __init__(self, relations: Sequence[str], weights: Mapping[str, float]) -> None:
        self.relations = tuple(relations)
        rows = [np.ones(len(self.relations))]
        self.names = ["as trained"]
        for at, name in enumerate(self.relations):
            for level in LEVELS:
                row = np.ones(len(self.relations))
                row[at] = level
                rows.append(row)
                self.names.append(f"{name} x {level:g}")
        self._experts = np.array(rows)
        known = [max(float(weights.get(name, 0.0)), 0.0) for name in self.names]
        total = sum(known)
        n = len(self.names)
        self._weights = np.array(known) / total if total > 0 else np.full(n, 1.0 / n)
        if not total:  # begin at what training found
            self._weights = np.full(n, 0.5 / max(n - 1, 1))
            self._weights[0] = 0.5

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each expert by name; they sum to 1."""
        return dict(zip(self.names, self._weights.tolist(), strict=True))

    @property
    def factors(self) -> dict[str, float]:
        """Factor of each relation: the mean of the experts."""
        mean = self._weights @ self._experts
        return dict(zip(self.relations, mean.tolist(), strict=True))

    def learn(self, parts: Doubles) -> None:
        """Learn from one event.

        Parameters
        ----------
        parts : float64 [n, R]
            What each relation adds to the score of the item (first row) and of other candidates.
        """
        losses = self.losses(parts)
        self._weights *= np.exp(-ETA * losses)
        self._weights /= self._weights.sum()
        self._weights = (1.0 - SHARE) * self._weights + SHARE / len(self._weights)

    def losses(self, parts: Doubles) -> Doubles:
        """Return the loss of each expert, 0 to 1; ties count half."""
        scores = parts @ self._experts.T
        better = (scores[1:] > scores[0]).sum(axis=0)
        equal = (scores[1:] == scores[0]).sum(axis=0)
        return np.asarray(1.0 - 1.0 / np.log2(2.0 + better + equal / 2.0))
