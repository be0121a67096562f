"""Common parts of hybrids, which combine several other models."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories, IntArray
from nearline.errors import InvalidInput
from nearline.kernels.diversity import Sparse, no_features
from nearline.models.base import Arrays, Mask, Model, Ranking, check_validation, check_weights
from nearline.models.capabilities import AcceptsItems, DescribesItems, SearchesText
from nearline.models.dense_scores import DenseModel
from nearline.models.registry import make_model, model_class

MAX_WEIGHT = 1e9
MAX_PARTS = 16


class HybridPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a hybrid.

    Attributes
    ----------
    model : str
        Name of the model.
    settings : dict
        Settings of the model, as JSON values; settings that are not given have their defaults.
    weight : float
        Weight relative to the other parts, at least 0. Not used by `hybrid_cascade` and
        `hybrid_switching`, which depend on the order of the parts.
    """

    model: str
    settings: dict[str, Any] = {}
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= MAX_WEIGHT:  # also refuses NaN
            raise InvalidInput(
                f"the weight of part {self.model!r} is {self.weight}; it must be at least 0 and "
                f"at most {MAX_WEIGHT:g}",
                field="weight",
            )


def check_number_of_parts(parts: Sequence[HybridPart]) -> None:
    """Raise InvalidInput if there are more than `MAX_PARTS` parts, all of which use memory."""
    if len(parts) > MAX_PARTS:
        raise InvalidInput(
            f"there are {len(parts):,} parts; at most {MAX_PARTS} are allowed", field="parts"
        )


# Default parts of the hybrids: the item graph without texts, and with texts only.
GRAPH_BY_EVENTS = HybridPart(
    model="item_graph", settings={"content": {"weight": 0.0}, "search": {"evaluations": 0}}
)
GRAPH_BY_TEXT = HybridPart(
    model="item_graph",
    settings={
        "transitions": {"weight": 0.0},
        "coengagement": {"weight": 0.0},
        "search": {"evaluations": 0},
    },
)


class Hybrid(DenseModel):
    """Abstract base class of hybrids that rank items; a subclass implements `score_many`.

    The settings have a field `parts`, a tuple of `HybridPart`. The parts are trained one after the
    other on the same data. Models that need ratings are rejected, since the weights of a history
    cannot be event weights for one part and ratings for another.

    Attributes
    ----------
    parts : list of Model
        Models, in the order of the settings.
    """

    tunes_itself: ClassVar[bool] = True

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        given: Sequence[HybridPart] = self.config.parts
        if not given:
            raise InvalidInput(f"{self.name} has no parts; give at least one", field="parts")
        check_number_of_parts(given)
        for part in given:
            self._check_part(part)
        self.parts = [make_model(part.model, part.settings) for part in given]

    def fit(
        self,
        data: Dataset,
        *,
        validation: Histories | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Self:
        """Train the parts, each of which may choose its settings on validation data.

        Afterwards, `config` contains the chosen settings.
        """
        if validation is not None:
            check_validation(validation, data)
        check_weights(data.histories)
        for done, part in enumerate(self.parts):
            progress(done, len(self.parts), part.name)
            part.fit(data, validation=validation, seed=seed)
        self._keep_settings()
        self.fitted_on = data.histories
        progress(len(self.parts), len(self.parts), "done")
        return self

    @property
    def n_items(self) -> int:
        """Largest number of items of a part; numbers differ if not all parts accept new items."""
        return max(part.n_items for part in self.parts)

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Add or change items in the parts that accept them; see `AcceptsItems`."""
        for part in self.parts:
            if isinstance(part, AcceptsItems):
                part.put_items(items, texts, vectors)

    def search_text(self, text: str, k: int, *, allowed: Mask | None = None) -> Ranking:
        """Search texts with the first part that finds items; see `SearchesText`."""
        for part in self.parts:
            if isinstance(part, SearchesText):
                found = part.search_text(text, k, allowed=allowed)
                if found.items.size:
                    return found
        return Ranking(np.zeros((1, 0), dtype=np.int32), np.zeros((1, 0), dtype=np.float32))

    def describe(self, items: IntArray) -> Sparse:
        """Describe items by the first part that can; see `DescribesItems`."""
        for part in self.parts:
            if isinstance(part, DescribesItems):
                found = part.describe(items)
                if len(found.columns):
                    return found
        return no_features(len(items))

    def arrays(self) -> Arrays:
        """Return the arrays of all parts; names begin with the position, such as ``0/``."""
        return part_arrays(self.parts)

    def _load(self, arrays: Arrays) -> None:
        self.parts = restore_parts(self.config.parts, arrays)

    def _check_part(self, part: HybridPart) -> None:
        if model_class(part.model).needs_ratings:
            raise InvalidInput(
                f"{part.model!r} learns from ratings, and {self.name} from events; blend it in "
                "hybrid_ratings",
                field="parts",
            )

    def _keep_settings(self) -> None:
        self.config = replace(self.config, parts=settled(self.config.parts, self.parts))


def settled(given: Sequence[HybridPart], fitted: Sequence[Model]) -> tuple[HybridPart, ...]:
    """Return `given` with the settings of the trained models."""
    return tuple(
        replace(part, settings=msgspec.to_builtins(model.config))
        for part, model in zip(given, fitted, strict=True)
    )


def part_arrays(parts: Sequence[Model]) -> Arrays:
    """Return the arrays of all models; names begin with the position of the model (``0/``)."""
    return {
        f"{place}/{name}": array
        for place, part in enumerate(parts)
        for name, array in part.arrays().items()
    }


def restore_parts(given: Sequence[HybridPart], arrays: Arrays) -> list[Model]:
    """Create the trained models of parts from the result of `part_arrays`."""
    parts = []
    for place, part in enumerate(given):
        prefix = f"{place}/"
        own = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
        fresh = make_model(part.model, part.settings)
        parts.append(type(fresh).restore(fresh.config, own))
    return parts


def widened(scores: FloatArray, n_items: int) -> FloatArray:
    """Extend scores [n, m] to `n_items` columns, with 0 for items that a part does not know."""
    missing = n_items - scores.shape[1]
    return np.pad(scores, ((0, 0), (0, missing))) if missing else scores
