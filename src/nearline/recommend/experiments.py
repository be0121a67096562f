"""Experiments in the pipeline: the variant of a user changes the request, and maybe the model."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from nearline.common.assignment import assign, bucket, variant_ranges
from nearline.common.interleaving import team_draft
from nearline.recommend.lists import View
from nearline.schema import DEFAULT_K, Answer, ListOptions, Recommendation
from nearline.schema.experiments import HOLDOUT, INTERLEAVE, Experiment

O = TypeVar("O", bound=ListOptions)  # noqa: E741 (a type variable)
Arms = Mapping[str, str]
NO_ARMS: Arms = {}


class Assigned(NamedTuple):
    """What is to be answered: variant of each experiment, changed options, and a view.

    Attributes
    ----------
    arms : mapping of str to str
        Variant of each experiment by name.
    options : ListOptions
    view : View
        With the model of the variant, if it has one of its own.
    interleaved : str or None
        Experiment whose two variants make the list together.
    """

    arms: Arms
    options: ListOptions
    view: View
    interleaved: str | None = None


_ranges = lru_cache(maxsize=1_000)(variant_ranges)


def variant_of(name: str, experiment: Experiment, user_id: str) -> str | None:
    """Return the variant of a user, `HOLDOUT`, or None if the user does not take part."""
    seed, layer = experiment.seed or name, experiment.layer
    if layer is not None and not layer.start <= bucket(f"layer:{layer.name}", user_id) < layer.end:
        return None
    if experiment.holdout and bucket(f"holdout:{seed}", user_id) < experiment.holdout:
        return HOLDOUT
    at = assign(seed, user_id, _ranges(experiment.shares, experiment.coverage))
    if at is None:
        return None
    return INTERLEAVE if experiment.mode == INTERLEAVE else experiment.names[at]


def arms_of(scenario: str | None, user_id: str | None, view: View) -> Arms:
    """Return the variant of a user in each running experiment on lists of a scenario."""
    running = view.state.definitions.running
    if not running or user_id is None:
        return NO_ARMS
    found = {
        name: variant_of(name, experiment, user_id)
        for name, experiment in running.items()
        if experiment.scenario in (None, scenario)
    }
    return {name: variant for name, variant in found.items() if variant is not None}


def with_arms(options: O, arms: Arms, view: View) -> tuple[O, View, str | None]:
    """Return the options and the view with the changes of some variants.

    The third value is the first experiment that interleaves its variants, whose changes are not
    applied; see `with_variant`.
    """
    interleaved = None
    for name, variant in arms.items():
        if variant == INTERLEAVE:
            interleaved = interleaved or name
        elif variant != HOLDOUT:
            options, view = with_variant(options, view, name, variant)
    return options, view, interleaved


def with_variant(options: O, view: View, name: str, variant: str) -> tuple[O, View]:
    """Return the options and the view with the changes of one variant.

    Values that the request sets have priority over the settings of the variant, and these over the
    scenario.
    """
    experiment = view.state.definitions.running.get(name)
    if experiment is None or variant not in experiment.variants:  # changed meanwhile
        return options, view
    changes = experiment.variants[variant]
    options = experiment.settings_of(variant).applied_to(options)
    if changes.scenario is not None:
        options = replace(options, scenario=changes.scenario)
    if changes.model is not None and changes.model in view.models:
        view = replace(view, model=view.models[changes.model], model_id=changes.model)
    return options, view


def interleaved_answers(
    first: Answer, second: Answer, names: Sequence[str], k: int | None, seed: str
) -> Answer:
    """Return the list that two answers make by a team draft; each line names its variant.

    Parameters
    ----------
    names : sequence of str
        Names of the two variants.
    seed : str
        Seed of the coins, beside the two lists: equal lists give an equal draft.
    """
    lists = [[line.item_id for line in one.items] for one in (first, second)]
    digest = blake2b(repr((seed, first.user_id, lists)).encode(), digest_size=12).hexdigest()
    drawn = team_draft(lists[0], lists[1], k or DEFAULT_K, Random(digest))  # noqa: S311 (not a secret)
    lines: list[dict[str, Recommendation]] = [
        {line.item_id: line for line in one.items} for one in (first, second)
    ]
    items = tuple(
        replace(lines[team][item_id], variant=names[team])
        for item_id, team in zip(drawn.items, drawn.teams, strict=True)
    )
    return replace(
        first,
        recommendation_id=digest,
        items=items,
        tier=items[0].tier if items else first.tier,
        rules=tuple(sorted({*first.rules, *second.rules})),
        next=None,
    )


def named_arms(answer: Answer, arms: Arms) -> Answer:
    """Return an answer that names the variants."""
    if not arms:
        return answer
    return replace(answer, variant=arms[min(arms)], experiments=dict(sorted(arms.items())))
