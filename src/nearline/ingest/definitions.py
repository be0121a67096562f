"""Writes of definitions: scenarios and merchandising rules, validated and appended to the log."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from nearline.errors import (
    InvalidInput,
    NearlineError,
    UnknownExperiment,
    UnknownRule,
    UnknownScenario,
)
from nearline.log import Appended, Log, UnwritableLog
from nearline.schema import Defined, Undefined, check_id
from nearline.schema.definitions import (
    MAX_DEFINITIONS,
    RULE,
    SCENARIO,
    check_rule,
    check_scenario,
    nearest,
)
from nearline.schema.experiments import EXPERIMENT, check_experiment
from nearline.state import State

_CHECKS = {SCENARIO: check_scenario, RULE: check_rule, EXPERIMENT: check_experiment}
_ERRORS: dict[str, type[NearlineError]] = {
    SCENARIO: UnknownScenario,
    RULE: UnknownRule,
    EXPERIMENT: UnknownExperiment,
}


def checked_definition(kind: str, name: str, fields: object, state: State) -> Defined:
    """Return the record of a definition, with a time of 0.

    Raises
    ------
    InvalidInput
        The name or a field is invalid, an item or definition that it names does not exist, or the
        store has `MAX_DEFINITIONS` of the kind already.
    """
    body = _CHECKS[kind](name, fields)
    definitions = state.definitions
    known = definitions.all(kind)
    if name not in known and len(known) >= MAX_DEFINITIONS:
        raise InvalidInput(
            f"there are {len(known):,} definitions of kind {kind} already, which is the limit; "
            "delete some first",
            field="name",
        )
    for rule in body.get("rules", ()):
        if definitions.get(RULE, rule) is None:
            raise InvalidInput(
                f"rules names {rule!r:.100}, which is no rule"
                f"{nearest(rule, definitions.all(RULE))}",
                field="rules",
            )
    if kind == RULE:
        _check_named(body, state)
    if kind == EXPERIMENT:
        _check_experiment(name, body, state)
    if kind == SCENARIO and "bandit" in body:
        _check_policies(body["bandit"]["policies"], state)
    return Defined(kind=kind, name=name, timestamp=0.0, body=body)


def define(log: Log, record: Defined, *, now: float) -> Future[Appended]:
    """Append a definition; once it is acknowledged, every list reflects it."""
    return log.append(
        [Defined(kind=record.kind, name=record.name, timestamp=now, body=record.body)]
    )


def undefine(log: Log, state: State, kind: str, name: str, *, now: float) -> Future[Appended]:
    """Append the removal of a definition.

    Raises
    ------
    UnknownScenario, UnknownRule
        There is none of this name.
    """
    definition(state, kind, name)
    return log.append([Undefined(kind=kind, name=name, timestamp=now)])


def definition(state: State, kind: str, name: str) -> dict[str, Any]:
    """Return the fields of a definition as they were stored, and its name.

    Raises
    ------
    UnknownScenario, UnknownRule
        There is none of this name; the message states the nearest one.
    """
    body = state.definitions.get(kind, check_id(name, "name"))
    if body is None:
        raise unknown(kind, name, state)
    return {"name": name, **body}


def definitions(state: State, kind: str) -> list[dict[str, Any]]:
    """Return all definitions of a kind, by name."""
    return [{"name": name, **body} for name, body in state.definitions.all(kind).items()]


def unknown(kind: str, name: str, state: State) -> NearlineError:
    """Return the error for a name that is not defined."""
    return _ERRORS[kind](
        f"there is no {kind} {name!r:.100}{nearest(name, state.definitions.all(kind))}"
    )


def _check_named(body: Mapping[str, Any], state: State) -> None:
    """Raise `InvalidInput` if a rule names an item or a scenario that does not exist."""
    item_id = body["pin"]["item_id"] if "pin" in body else None
    if item_id is not None and state.items.get(item_id) is None:
        raise InvalidInput(
            f"pin.item_id is {item_id!r:.100}, which has neither events nor a catalogue entry; "
            "store the item first",
            field="pin.item_id",
        )
    scenario = body.get("scenario")
    if scenario is not None and state.definitions.get(SCENARIO, scenario) is None:
        raise InvalidInput(
            f"scenario is {scenario!r:.100}, which is no scenario"
            f"{nearest(scenario, state.definitions.all(SCENARIO))}",
            field="scenario",
        )


def _check_policies(policies: Mapping[str, Mapping[str, str]], state: State) -> None:
    """Raise `InvalidInput` if the scenario of a policy does not exist, or chooses itself."""
    scenarios = state.definitions.all(SCENARIO)
    for name, policy in policies.items():
        field, scenario = f"bandit.policies.{name}.scenario", policy.get("scenario")
        if scenario is not None and scenario not in scenarios:
            raise InvalidInput(
                f"{field} is {scenario!r:.100}, which is no scenario{nearest(scenario, scenarios)}",
                field=field,
            )
        if scenario is not None and "bandit" in scenarios[scenario]:
            raise InvalidInput(
                f"{field} is {scenario!r:.100}, which chooses among policies itself; name its "
                "policies instead",
                field=field,
            )


def _check_experiment(name: str, body: Mapping[str, Any], state: State) -> None:
    """Raise `InvalidInput` if a scenario does not exist, or parts of a layer overlap."""
    scenarios = state.definitions.all(SCENARIO)
    named = [("scenario", body.get("scenario"))]
    named += [
        (f"variants.{key}.scenario", v.get("scenario")) for key, v in body["variants"].items()
    ]
    for field, scenario in named:
        if scenario is not None and scenario not in scenarios:
            raise InvalidInput(
                f"{field} is {scenario!r:.100}, which is no scenario{nearest(scenario, scenarios)}",
                field=field,
            )
    layer = body.get("layer")
    if layer is None or not body.get("running", True):
        return
    start, end = layer.get("from", 0.0), layer.get("to", 1.0)
    for other, one in state.definitions.running.items():
        theirs = None if other == name else one.layer
        if theirs is None or theirs.name != layer["name"]:
            continue
        if start < theirs.end and theirs.start < end:
            raise InvalidInput(
                f"layer overlaps with that of the running experiment {other!r:.100}, which has "
                f"{theirs.start:.15g} to {theirs.end:.15g}",
                field="layer",
            )


def start_with(
    scenarios: Mapping[str, object],
    rules: Mapping[str, object],
    log: Log,
    state: State,
    *,
    now: float,
) -> None:
    """Append the scenarios and rules of the settings that were never stored under their names.

    Items and scenarios that they name need not exist yet. A log that cannot be written is left as
    it is.

    Raises
    ------
    InvalidInput
        A definition is invalid.
    """
    found = state.definitions
    records = [
        Defined(kind=kind, name=name, timestamp=now, body=_CHECKS[kind](name, fields))
        for kind, some in ((SCENARIO, scenarios), (RULE, rules))
        for name, fields in some.items()
        if found.get(kind, name) is None and not found.was_removed(kind, name)
    ]
    if records and not isinstance(log, UnwritableLog):
        log.append(records).result()


def copy_definitions(state: State, log: Log, *, now: float) -> None:
    """Append the definitions of a state to another log."""
    records = [
        Defined(kind=kind, name=name, timestamp=now, body=body)
        for kind, name, body in state.definitions.copy()
        if body is not None
    ]
    if records:
        log.append(records).result()
