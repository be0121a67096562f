"""Experiments: variants of lists that users are assigned to.

An experiment is stored in the log as a `Defined` record, so every process that follows the log
assigns each user to the same variant.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import mapping, plain
from nearline.schema.definitions import (
    SCENARIO_OPTIONS,
    ScenarioOptions,
    checked_size,
    nearest,
    refused,
)
from nearline.schema.requests import RecommendationRequest, check_options, make_options
from nearline.schema.rules import check_id, check_number

EXPERIMENT = "experiment"
AB, INTERLEAVE = "ab", "interleave"
MODES = (AB, INTERLEAVE)
# Name in answers of users who are held out.
HOLDOUT = "holdout"
MAX_VARIANTS, MAX_GUARDRAILS = 20, 10
CLICK = "click"


class Variant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a variant changes; nothing is the list as it is."""

    weight: Annotated[float, Meta(description="Share of the users, relative to others.")] = 1.0
    scenario: Annotated[
        str | None, Meta(description="Scenario in place of that of the request.")
    ] = None
    model: Annotated[str | None, Meta(description="ID of the snapshot that ranks items.")] = None
    settings: Annotated[
        dict[str, Any], Meta(description="Options of lists where the request sets none.")
    ] = {}


class NamedVariant(Variant, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant in a list of variants."""

    name: Annotated[str, Meta(description="Name of the variant.")]


class Layer(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"start": "from", "end": "to"},
):
    """A part of the users that only one experiment has: those with a place from `from` to `to`."""

    name: Annotated[str, Meta(description="Name that experiments on different users share.")]
    start: Annotated[float, Meta(description="Begin of the part, from 0.")] = 0.0
    end: Annotated[float, Meta(description="End of the part, up to 1.")] = 1.0


class Guardrail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition that stops an experiment: a variant is significantly worse than the control."""

    metric: Annotated[str, Meta(description="Kind of event, such as purchase.")] = "purchase"
    worst: Annotated[
        float,
        Meta(description="Stop if the whole interval of the relative change is below it."),
    ] = 0.0


class Experiment(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    dict=True,
):
    """An experiment.

    Attributes
    ----------
    variants : dict of str to Variant
        By name; the first one is the control.
    scenario : str or None
        Restricts the experiment to lists of a scenario.
    coverage, holdout : float
        Share of the users that take part, and of those that are held out: their lists stay as they
        are, and are kept for comparison.
    layer : Layer or None
        Makes experiments that share the name of a layer exclude each other.
    mode : str
        "ab", or "interleave": users get a list that two variants make together.
    metric : str
        Kind of event that the variants are compared by; "click" also counts views, opens and plays.
    guardrails : list of Guardrail
    seed : str or None
        Seed of the assignment; None for the name of the experiment.
    segment : str or None
        Attribute of users by which results are also shown.
    planned : int
        Number of users at which intervals are to be narrowest.
    running : bool
    started : float or None
        Time in Unix seconds from which lists count for the results.
    stopped : str or None
        Why the experiment was stopped.
    """

    variants: dict[str, Variant]
    scenario: str | None = None
    coverage: float = 1.0
    holdout: float = 0.0
    layer: Layer | None = None
    mode: str = AB
    metric: str = CLICK
    guardrails: list[Guardrail] = []
    seed: str | None = None
    segment: str | None = None
    planned: int = 10_000
    running: bool = True
    started: float | None = None
    stopped: str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the variants; the first is the control."""
        return tuple(self.variants)

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Share of each variant among the users that take part."""
        total = sum(one.weight for one in self.variants.values())
        return tuple(one.weight / total for one in self.variants.values())

    @cached_property
    def _options(self) -> dict[str, ScenarioOptions]:
        return {
            name: ScenarioOptions(
                name=name,
                options={
                    field: getattr(make_options(RecommendationRequest, **{field: value}), field)
                    for field, value in one.settings.items()
                },
            )
            for name, one in self.variants.items()
        }

    def settings_of(self, variant: str) -> ScenarioOptions:
        """Return the options of lists that a variant sets."""
        return self._options[variant]


def check_experiment(name: str, fields: object) -> dict[str, Any]:
    """Return the fields of an experiment as they are stored.

    `variants` is a mapping by name, or a list whose entries have a `name`.

    Raises
    ------
    InvalidInput
        The name, a field or a value is invalid; the error names the field.
    """
    check_id(name, "name")
    given = plain(mapping(fields, "experiment", "{'variants': {'a': {}, 'b': {'scenario': 's'}}}"))
    if given.pop("name", name) != name:
        raise InvalidInput("name differs from the name of the experiment; omit it", field="name")
    for field in given:
        if field not in Experiment.__struct_fields__:
            known = Experiment.__struct_fields__
            raise InvalidInput(
                f"{field!r:.100} is no field of an experiment{nearest(str(field), known)}",
                field=str(field)[:100],
            )
    given = {field: value for field, value in given.items() if value is not None}
    given["variants"] = _by_name(given.get("variants"))
    try:
        found = msgspec.convert(given, Experiment)
    except msgspec.ValidationError as error:
        raise refused(error) from None
    _check_variants(found)
    _check_shares(found)
    for field in ("scenario", "seed", "metric", "segment"):
        if getattr(found, field) is not None:
            check_id(getattr(found, field), field)
    return checked_size(msgspec.to_builtins(found))


def experiment_of(body: Mapping[str, Any]) -> Experiment | None:
    """Return the experiment that is stored as `body`; None if another version wrote it."""
    try:
        return msgspec.convert(body, Experiment)
    except msgspec.ValidationError:
        return None


def _by_name(variants: object) -> dict[str, Any]:
    if isinstance(variants, list):
        named: dict[str, Any] = {}
        for at, one in enumerate(variants):
            if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
                raise InvalidInput(f"variants[{at}] has no name", field="variants")
            if one["name"] in named:
                raise InvalidInput(
                    f"variants has {one['name']!r:.100} twice; names must differ", field="variants"
                )
            named[one["name"]] = {key: value for key, value in one.items() if key != "name"}
        return named
    if not isinstance(variants, Mapping):
        raise InvalidInput(
            f"variants is {variants!r:.100}; it must map names to what each variant changes, such "
            "as {'a': {}, 'b': {'scenario': 'new'}}",
            field="variants",
        )
    return {name: {} if one is None else one for name, one in variants.items()}


def _check_variants(found: Experiment) -> None:
    n = len(found.variants)
    if not 2 <= n <= MAX_VARIANTS:
        raise InvalidInput(
            f"variants has {n} entries; it must have 2 to {MAX_VARIANTS}", field="variants"
        )
    if found.mode not in MODES:
        raise InvalidInput(
            f"mode is {found.mode!r:.50}; it must be one of {', '.join(MODES)}", field="mode"
        )
    if found.mode == INTERLEAVE and n != 2:
        raise InvalidInput(
            f"variants has {n} entries; exactly two can be interleaved", field="variants"
        )
    for name, one in found.variants.items():
        where = f"variants.{name}"
        check_id(name, "variants")
        if name in (HOLDOUT, INTERLEAVE):
            raise InvalidInput(f"variants: a variant cannot be named {name!r}", field="variants")
        if not 0 < check_number(one.weight, f"{where}.weight") <= 1e6:
            raise InvalidInput(
                f"{where}.weight is {one.weight:.15g}; it must be above 0, up to 1,000,000",
                field=f"{where}.weight",
            )
        for field in ("scenario", "model"):
            if getattr(one, field) is not None:
                check_id(getattr(one, field), f"{where}.{field}")
        for option in one.settings:
            if option not in SCENARIO_OPTIONS:
                raise InvalidInput(
                    f"{where}.settings has {option!r:.100}, which is no option of lists"
                    f"{nearest(str(option), SCENARIO_OPTIONS)}",
                    field=f"{where}.settings",
                )
        check_options(make_options(RecommendationRequest, **one.settings))


def _check_shares(found: Experiment) -> None:
    for field, value in (("coverage", found.coverage), ("holdout", found.holdout)):
        if not 0 <= check_number(value, field) <= 1:
            raise InvalidInput(f"{field} is {value:.15g}; it must be from 0 to 1", field=field)
    if found.layer is not None:
        check_id(found.layer.name, "layer.name")
        start, end = found.layer.start, found.layer.end
        if not 0 <= start < end <= 1:
            raise InvalidInput(
                f"layer is from {start:.15g} to {end:.15g}; it must be from 0 to 1, and not empty",
                field="layer",
            )
    if len(found.guardrails) > MAX_GUARDRAILS:
        raise InvalidInput(
            f"guardrails has {len(found.guardrails)} entries; at most {MAX_GUARDRAILS} are allowed",
            field="guardrails",
        )
    for one in found.guardrails:
        check_id(one.metric, "guardrails.metric")
        if not -1 <= check_number(one.worst, "guardrails.worst") <= 1:
            raise InvalidInput(
                f"guardrails.worst is {one.worst:.15g}; it must be from -1 to 1",
                field="guardrails.worst",
            )
    if not 100 <= found.planned <= 10**9:
        raise InvalidInput(
            f"planned is {found.planned}; it must be a number of users from 100 to a billion",
            field="planned",
        )
    if found.started is not None:
        check_number(found.started, "started")
