"""The model of a scenario, and the choice of a scenario among policies.

The policy of a user depends on a keyed hash of the user, the scenario and the time window, so that
it holds still within a window, is equal in all answers of the store, and nobody can compute it from
outside. Its probability is that of the last record of the scenario (see
`nearline.served.policies`), and before the first one equal for all policies.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from nearline.recommend.lists import View
from nearline.schema import Answer, ItemOptions, ListOptions
from nearline.schema.bandits import Bandit

O = TypeVar("O", bound=ListOptions)  # noqa: E741 (a type variable)


class ChosenPolicy(NamedTuple):
    """Name of the policy that was chosen, and the probability of this choice."""

    policy: str
    propensity: float


def with_model(options: ItemOptions, view: View) -> View:
    """Return the view with the model of the scenario of a request, if it has one of its own."""
    scenarios = view.state.definitions.scenarios
    if options.scenario is None or options.scenario not in scenarios:
        return view
    return with_snapshot(view, scenarios[options.scenario].model)


def with_snapshot(view: View, snapshot_id: str | None) -> View:
    """Return the view with another model; with the active one if it is not loaded."""
    if snapshot_id is None or snapshot_id not in view.models:
        return view
    return replace(view, model=view.models[snapshot_id], model_id=snapshot_id)


def with_choice(
    options: O, view: View, user_id: str | None, history: Sequence[str] | None = None
) -> tuple[O, View, ChosenPolicy | None]:
    """Return the options and the view that the scenario of a request chooses for a user.

    The third value is the choice; None if the scenario does not choose among policies. Options that
    the scenario sets itself hold for all policies. For a session without a user, its history takes
    the place of the user.
    """
    definitions = view.state.definitions
    scenario = None if options.scenario is None else definitions.scenarios.get(options.scenario)
    if scenario is None:
        return options, view, None
    if scenario.bandit is None:
        return options, with_snapshot(view, scenario.model), None
    chances = chances_of(scenario.bandit, definitions.chances.get(scenario.name, {}))
    place = _place((user_id, None if user_id else history), scenario.name, scenario.bandit, view)
    name = policy_at(place, chances)
    policy = scenario.bandit.policies[name]
    other = None if policy.scenario is None else definitions.scenarios.get(policy.scenario)
    options = scenario.applied_to(options)
    model = policy.model
    if other is not None:  # it may have been deleted since
        options, model = replace(options, scenario=other.name), model or other.model
    return options, with_snapshot(view, model or scenario.model), ChosenPolicy(name, chances[name])


def named_choice(answer: Answer, choice: ChosenPolicy | None) -> Answer:
    """Return an answer that names the policy."""
    if choice is None:
        return answer
    return replace(answer, chosen=choice.policy, chosen_propensity=choice.propensity)


def chances_of(bandit: Bandit, known: Mapping[str, float]) -> dict[str, float]:
    """Return the probability of each policy: the known ones, if they are about these policies."""
    if known.keys() == bandit.policies.keys():
        return {name: known[name] for name in bandit.policies}
    return dict.fromkeys(bandit.policies, 1.0 / len(bandit.policies))


def policy_at(place: float, chances: dict[str, float]) -> str:
    """Return the policy to which a number from 0 to 1 (excluded) belongs."""
    reached = 0.0
    for name, chance in chances.items():
        reached += chance
        if place < reached:
            return name
    return next(reversed(chances))  # the sum was rounded to less than 1


def _place(who: object, scenario: str, bandit: Bandit, view: View) -> float:
    key = b"" if view.signer is None else view.signer.secret
    window = int(view.now // bandit.window)
    content = msgspec.json.encode((who, scenario, window))
    digest = blake2b(content, digest_size=8, key=key, person=b"policy").digest()
    return int.from_bytes(digest, "little") / 2.0**64
