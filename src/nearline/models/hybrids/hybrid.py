"""What all hybrids share: parts that are other models, given by name and settings."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Dataset, FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.models.base import Mask, Model, Ranking, check_weights
from nearline.models.capabilities import AcceptsItems, SearchesText
from nearline.models.dense_scores import DenseModel
from nearline.models.registry import make_model, model_class

Arrays = dict[str, NDArray[Any]]


class HybridPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a hybrid.

    Attributes
    ----------
    model : str
        Its name.
    settings : dict
        Its settings, as JSON values; those not named are its defaults.
    weight : float
        Its say, relative to the other parts; at least 0. Where the order of parts decides instead
        (`hybrid_cascade`, `hybrid_switching`) it is not used.
    """

    model: str
    settings: dict[str, Any] = {}
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise InvalidInput(
                f"the weight of part {self.model!r} is {self.weight}; it must be at least 0",
                field="weight",
            )


# The item graph without words and by words alone: parts that need no other model.
GRAPH_BY_EVENTS = HybridPart(
    model="item_graph", settings={"content": {"weight": 0.0}, "search": {"evaluations": 0}}
)
GRAPH_BY_WORDS = HybridPart(
    model="item_graph",
    settings={
        "transitions": {"weight": 0.0},
        "coengagement": {"weight": 0.0},
        "search": {"evaluations": 0},
    },
)


class Hybrid(DenseModel):
    """Base of the hybrids for lists. A subclass writes `score_many`, and `_pick` where it differs.

    Its configuration has a field `parts`, a tuple of `HybridPart`. Parts are fitted one after
    the other on the same data; models of ratings are refused, since the weights of a history
    cannot be
    events to one part and ratings to another.

    Attributes
    ----------
    parts : list of Model
        The models, in the order of the configuration.
    """

    tunes_itself: ClassVar[bool] = True

    def __init__(self, config: Struct | None = None) -> None:
        super().__init__(config)
        given: Sequence[HybridPart] = self.config.parts
        if not given:
            raise InvalidInput(f"{self.name} has no parts; give at least one", field="parts")
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
        """Fit the parts; `validation` lets them choose their own settings.

        Afterwards `config` holds the settings that they chose.
        """
        if validation is not None and len(validation) != data.n_users:
            raise InvalidInput(
                f"validation has {len(validation)} rows; give one for each of the "
                f"{data.n_users} users of data"
            )
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
        """Number of items: of the part that knows most, as not all hear of new ones."""
        return max(part.n_items for part in self.parts)

    def put_items(
        self,
        items: Sequence[int],
        texts: Sequence[str],
        vectors: Mapping[str, FloatArray] | None = None,
    ) -> None:
        """Give new items, or new text and vectors of known ones, to the parts that take them."""
        for part in self.parts:
            if isinstance(part, AcceptsItems):
                part.put_items(items, texts, vectors)

    def search_text(self, text: str, k: int, *, allowed: Mask | None = None) -> Ranking:
        """Items that the first part able to search text finds; none without such a part."""
        for part in self.parts:
            if isinstance(part, SearchesText):
                found = part.search_text(text, k, allowed=allowed)
                if found.items.size:
                    return found
        return Ranking(np.zeros((1, 0), dtype=np.int32), np.zeros((1, 0), dtype=np.float32))

    def arrays(self) -> Arrays:
        """Return the arrays of all parts, each behind its place: `0/...`, `1/...`."""
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
    """Parts with the settings that their fitted models have come to."""
    return tuple(
        replace(part, settings=msgspec.to_builtins(model.config))
        for part, model in zip(given, fitted, strict=True)
    )


def part_arrays(parts: Sequence[Model]) -> Arrays:
    """Arrays of all parts, each behind its place."""
    return {
        f"{place}/{name}": array
        for place, part in enumerate(parts)
        for name, array in part.arrays().items()
    }


def restore_parts(given: Sequence[HybridPart], arrays: Arrays) -> list[Model]:
    """Rebuild the fitted models of parts from what `part_arrays` made."""
    parts = []
    for place, part in enumerate(given):
        prefix = f"{place}/"
        own = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
        fresh = make_model(part.model, part.settings)
        parts.append(type(fresh).restore(fresh.config, own))
    return parts


def widened(scores: FloatArray, n_items: int) -> FloatArray:
    """Scores for a larger catalogue: 0 for the items that a part has not heard of."""
    missing = n_items - scores.shape[1]
    return np.pad(scores, ((0, 0), (0, missing))) if missing else scores
