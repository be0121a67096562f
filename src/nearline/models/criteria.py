"""The criteria by which a model ranks, and their relative importance."""

from collections import defaultdict
from typing import Protocol, runtime_checkable

from nearline.models.base import Model


@runtime_checkable
class HasCriteria(Protocol):
    """Protocol of models that know the weights of their criteria."""

    def criteria(self) -> dict[str, float]:
        """Return weights by criterion; their sum is not 0."""
        ...


def criteria(model: Model) -> dict[str, float]:
    """Return the share of each criterion in the scores of a model; the shares sum to 1.

    A model that consists of others is described by these; one that has no named criteria is a
    single criterion with the name of the model.
    """
    found: dict[str, float] = defaultdict(float)
    weights = model.criteria() if isinstance(model, HasCriteria) else {}
    own = {name: weight for name, weight in weights.items() if weight > 0}
    total = sum(own.values())
    if not total:
        return {model.name: 1.0}
    parts = {part.name: part for part in getattr(model, "parts", ()) if isinstance(part, Model)}
    for name, weight in own.items():
        inner = criteria(parts[name]) if name in parts else {name: 1.0}
        for criterion, share in inner.items():
            found[criterion] += share * weight / total
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
