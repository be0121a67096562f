"""Bodies of requests and responses about experiments."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from nearline.schema.experiments import Experiment, NamedVariant, Variant


class ExperimentIn(Experiment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment; `name` is optional, since the path contains it."""

    name: str | None = None
    variants: Annotated[  # type: ignore[assignment]  # wider than what is stored
        dict[str, Variant] | list[NamedVariant],
        Meta(description="What each variant changes, by name; the first is the control."),
    ]


class ExperimentsOut(Struct, frozen=True, kw_only=True):
    """Experiments, in alphabetical order, each with its name and its fields."""

    experiments: list[dict[str, Any]]


class WeightsIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the weights of relations stay as they are."""

    frozen: bool
