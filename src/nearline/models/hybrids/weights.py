"""Weights of the parts of a blend."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nearline.models.hybrids.blend import BlendConfig


def weight_table(config: "BlendConfig") -> NDArray[np.float64]:
    """Return the weights of the parts for each range of history lengths.

    Returns
    -------
    float64 [lengths, parts]
        Weights; each row sums to one.
    """
    lengths = len(config.at_least)
    table = np.array(
        [part.weights or (part.weight,) * lengths for part in config.parts], dtype=np.float64
    )
    table = table.reshape(len(config.parts), lengths).T
    total = table.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = table / np.where(total > 0, total, 1.0)
    return shares


def mean_weights(config: "BlendConfig") -> dict[str, float]:
    """Return the weight of each model, averaged over the ranges of history lengths."""
    found: dict[str, float] = {}
    for part, weight in zip(config.parts, weight_table(config).mean(axis=0), strict=True):
        found[part.model] = found.get(part.model, 0.0) + float(weight)
    return found
