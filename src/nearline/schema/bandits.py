"""Bandits: a scenario that chooses among policies, each a snapshot or another scenario."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from nearline.errors import InvalidInput
from nearline.schema.arguments import mapping, plain
from nearline.schema.rules import check_id, check_number

# Kind of the records of probabilities; their name is that of the scenario.
BANDIT = "bandit"
MAX_POLICIES = 20
# Least floor of the probabilities, and bounds of the window in seconds.
LEAST_FLOOR = 0.01
WINDOWS = (60, 604_800)


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a policy changes; nothing is the list as it is."""

    scenario: Annotated[
        str | None, Meta(description="Scenario whose lists the policy shows instead.")
    ] = None
    model: Annotated[str | None, Meta(description="ID of the snapshot that ranks items.")] = None


class Bandit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a scenario chooses among policies.

    Attributes
    ----------
    policies : dict of str to Policy
        By name.
    metric : str
        Kind of event that counts as a success; "click" also counts views, opens and plays.
    floor : float
        Least probability of each policy.
    window : int
        Seconds for which a user keeps the policy, and after which probabilities are updated.
    days : float
        Days for which what lists led to counts.
    """

    policies: Annotated[dict[str, Policy], Meta(description="What each policy changes, by name.")]
    metric: Annotated[str, Meta(description="Kind of event that counts as a success.")] = "click"
    floor: Annotated[float, Meta(description="Least probability of each policy, from 0.01.")] = (
        LEAST_FLOOR
    )
    window: Annotated[int, Meta(description="Seconds for which a user keeps the policy.")] = 3_600
    days: Annotated[float, Meta(description="Days for which lists count.")] = 30.0


def check_bandit(scenario: str, value: object) -> dict[str, Any]:
    """Return `value` as it is stored if it describes a bandit of a scenario.

    Raises
    ------
    InvalidInput
        A field or a value is invalid; the error names it.
    """
    example = "{'policies': {'now': {}, 'other': {'scenario': 'other-home'}}}"
    given = {k: v for k, v in plain(mapping(value, "bandit", example)).items() if v is not None}
    try:
        found = msgspec.convert(given, Bandit)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        raise InvalidInput(f"bandit{place.rstrip('`')}: {what}", field="bandit") from None
    _check_policies(scenario, found.policies)
    check_id(found.metric, "bandit.metric")
    most = 1.0 / len(found.policies)
    bounds: dict[str, tuple[float, float]] = {
        "floor": (LEAST_FLOOR, most),
        "window": WINDOWS,
        "days": (0.01, 365.0),
    }
    for field, (low, high) in bounds.items():
        number = getattr(found, field)
        if not low <= check_number(number, f"bandit.{field}") <= high:
            raise InvalidInput(
                f"bandit.{field} is {number:.15g}; it must be from {low:g} to {high:g}",
                field=f"bandit.{field}",
            )
    body: dict[str, Any] = msgspec.to_builtins(found)
    return body


def bandit_of(body: Mapping[str, Any]) -> Bandit | None:
    """Return the bandit that is stored as `body`; None if another version wrote it."""
    try:
        return msgspec.convert(body, Bandit)
    except msgspec.ValidationError:
        return None


def _check_policies(scenario: str, policies: Mapping[str, Policy]) -> None:
    if not 2 <= len(policies) <= MAX_POLICIES:
        raise InvalidInput(
            f"bandit.policies has {len(policies)} entries; it must have 2 to {MAX_POLICIES}",
            field="bandit.policies",
        )
    for name, policy in policies.items():
        check_id(name, "bandit.policies")
        where = f"bandit.policies.{name}"
        for field in ("scenario", "model"):
            if getattr(policy, field) is not None:
                check_id(getattr(policy, field), f"{where}.{field}")
        if policy.scenario == scenario:
            raise InvalidInput(
                f"{where}.scenario is the scenario itself; name another one, or leave it out for "
                "the list as it is",
                field=f"{where}.scenario",
            )
