"""Fixed-share Hedge over factors of the weights of relations.

Each relation has experts, which multiply its weight by a factor from 1/4 to 4 and leave the other
weights as they are now. After an event, the loss of an expert is the log-loss of the item among
candidates: minus the logarithm of its share in a softmax of the expert's scores, divided by the
largest. It differs between experts also where the rank does not, so it follows a change sooner than
a loss that is made of ranks. Experts lose weight exponentially in their losses, and a small share
of the weight is redistributed in each step, so that the best expert may change (M. Herbster and
M. Warmuth: Tracking the Best Expert, Machine Learning 32, 1998). The factor of a relation is the
geometric mean of its experts, so it stays within their bounds.

Segments have experts of their own, which lose weight in the events of the segment only. In each
step, a share of their weight is redistributed as the experts of all events are distributed, so that
a segment with few events, or none for some hours, has almost the weights of all.

The log-loss also counts events whose item is far from the top of every list, so it can prefer
weights with which lists are worse. Therefore two more experts compete: the trained weights and the
adapted ones. Their loss is a smooth form of NDCG (T. Qin, T.-Y. Liu, H. Li: A General Approximation
Framework for Direct Optimization of Information Retrieval Measures, Information Retrieval 13,
2010), in which only items near the top matter. The exponent of the factors is the weight of the
adapted ones, so they act only as far as they rank better.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

LEVELS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
PLAIN = 2
# Learning rate, and the share of the weight that is redistributed in each step: of all events, and
# of a segment. Chosen on simulated streams.
ETA, SHARE, SEGMENT_SHARE = 1.0, 0.003, 0.01
# Logit of the largest score, over that of a score of 0.
SHARPNESS = 6.0
# The same of the experts for the trained and the adapted weights; the weight of the adapted ones at
# the begin and in the share; and the logit of a difference as large as the largest score.
GAIN_ETA, GAIN_SHARE, FIRST, STEEPNESS = 5.0, 0.001, 0.1, 20.0
# Name under which their weight is kept.
ADAPTED = "adapted"
# Weight of the experts that leave a relation as it was trained, at the begin and in the share.
TRUST = 0.9
# Digits to which weights are kept.
DIGITS = 6


class HedgedFactors:
    """Learns factors of the weights of relations from the items of events.

    Parameters
    ----------
    relations : sequence of str
        Names of the relations, in the order of the parts.
    weights : mapping of str to float
        Weights of experts from an earlier run, by name; unknown names are ignored.
    prior : float64 [R, levels] or None
        How weight is distributed at the begin; None for almost all on the trained weights.
    """

    def __init__(
        self,
        relations: Sequence[str],
        weights: Mapping[str, float],
        prior: Doubles | None = None,
    ) -> None:
        self.relations = tuple(relations)
        if prior is None:
            prior = np.full((len(self.relations), len(LEVELS)), (1 - TRUST) / (len(LEVELS) - 1))
            prior[:, PLAIN] = TRUST
        self.prior = prior
        known = np.array(
            [
                [max(float(weights.get(self._name(r, at), 0.0)), 0.0) for at in range(len(LEVELS))]
                for r in range(len(self.relations))
            ]
        ).reshape(len(self.relations), len(LEVELS))
        totals = known.sum(axis=1, keepdims=True)
        self.table = np.where(totals > 0, known / np.where(totals > 0, totals, 1.0), prior)

    def _name(self, relation: int, level: int) -> str:
        return f"{self.relations[relation]} x {LEVELS[level]:g}"

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each expert by name; those of a relation sum to 1."""
        return {
            self._name(r, at): round(float(self.table[r, at]), DIGITS)
            for r in range(len(self.relations))
            for at in range(len(LEVELS))
        }

    @property
    def factors(self) -> Doubles:
        """Factor of each relation, the geometric mean of its experts: float64 [R]."""
        return np.asarray(np.exp(self.table @ np.log(LEVELS)))

    def learn(self, parts: Doubles) -> None:
        """Learn from one event.

        Parameters
        ----------
        parts : float64 [n, R]
            What each relation adds to the score of the item (first row) and of other candidates.
        """
        self.table *= np.exp(-ETA * self.losses(parts))
        self.table /= self.table.sum(axis=1, keepdims=True)

    def redistribute(self, share: float, towards: Doubles) -> None:
        """Distribute a share of the weight like another table of experts."""
        self.table = (1.0 - share) * self.table + share * towards

    def losses(self, parts: Doubles) -> Doubles:
        """Return the loss of each expert: float64 [R, levels]."""
        factors = self.factors
        base = parts @ factors
        changes = LEVELS[None, :] - factors[:, None]
        scores = base[:, None, None] + parts[:, :, None] * changes[None]
        largest = scores.max(axis=0)
        logits = SHARPNESS * scores / np.where(largest > 0, largest, 1.0)
        top = logits.max(axis=0)
        return np.asarray(np.log(np.exp(logits - top).sum(axis=0)) + top - logits[0])


def smooth_gain(parts: Doubles, factors: Doubles) -> float:
    """Return the discounted gain of the first row of parts with some factors, from 0 to 1.

    Each other row counts in its rank as the probability that it is ranked higher, if the difference
    of two scores has logistic noise.
    """
    scores = parts @ factors
    largest = scores.max()
    if largest <= 0:
        return 0.0
    above = 1.0 / (1.0 + np.exp(STEEPNESS * (scores[0] - scores[1:]) / largest))
    return float(1.0 / np.log2(2.0 + above.sum()))


def learned(
    body: Mapping[str, Any], relations: Sequence[str], samples: Sequence[tuple[str, Doubles]]
) -> dict[str, Any]:
    """Return the factors after some events: `factors`, `experts` and `segments`.

    Parameters
    ----------
    body : mapping
        The same before.
    relations : sequence of str
        Names of the relations of the model.
    samples : sequence of (str, float64 [n, R])
        Segment of each event, and what relations say about its item and other candidates. Those of
        a model with another number of relations are ignored.
    """
    experts: Mapping[str, float] = body.get("experts", {})
    overall, adapted = HedgedFactors(relations, experts), experts.get(ADAPTED, FIRST)
    before: Mapping[str, Any] = body.get("segments", {})
    segments = {
        name: HedgedFactors(relations, one["experts"], overall.table)
        for name, one in before.items()
    }
    trained = np.ones(len(relations))
    for name, parts in samples:
        if parts.shape[1] != len(relations):
            continue
        if name not in segments:
            segments[name] = HedgedFactors(relations, {}, overall.table)
        own = segments[name]
        better = smooth_gain(parts, own.factors) - smooth_gain(parts, trained)
        weight = adapted * np.exp(GAIN_ETA * better)
        weight /= weight + 1.0 - adapted
        adapted = float((1.0 - GAIN_SHARE) * weight + GAIN_SHARE * FIRST)
        overall.learn(parts)
        overall.redistribute(SHARE, overall.prior)
        own.learn(parts)
        for one in segments.values():
            one.redistribute(SEGMENT_SHARE, overall.table)

    def shown(hedged: HedgedFactors) -> dict[str, float]:
        found = (hedged.factors**adapted).round(DIGITS).tolist()
        return dict(zip(relations, found, strict=True))

    return {
        "factors": shown(overall),
        "experts": overall.weights | {ADAPTED: round(adapted, DIGITS)},
        "segments": {
            name: {"factors": shown(one), "experts": one.weights}
            for name, one in sorted(segments.items())
        },
    }
