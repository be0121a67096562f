"""Definitions that a store keeps under a name: scenarios, and merchandising rules.

A scenario is a set of options of a request. A rule pins an item to a position, moves items to the
end of lists, or scales scores. Both are stored in the log as `Defined` records.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields as struct_fields
from msgspec.structs import replace

from nearline.errors import InvalidInput
from nearline.schema.arguments import as_list, mapping, plain, whole_number
from nearline.schema.bandits import Bandit, bandit_of, check_bandit
from nearline.schema.item_options import ItemOptions
from nearline.schema.requests import (
    RecommendationRequest,
    check_options,
    make_options,
)
from nearline.schema.rules import MAX_K, check_id, check_number
from nearline.schema.times import parse_time

O = TypeVar("O", bound=ItemOptions)  # noqa: E741 (a type variable)

SCENARIO, RULE = "scenario", "rule"
# Kind and name of the factors by which the weights of relations are multiplied.
WEIGHTS, RELATIONS_NAME = "weights", "relations"
# Definition of the active model of servers that share a log: its body has the key `promoted`, the
# IDs of promoted snapshots, oldest first.
MODEL, ACTIVE, PROMOTED = "model", "active", "promoted"
# Maximum number of definitions of a kind, and of bytes of one as JSON.
MAX_DEFINITIONS = 1_000
MAX_DEFINITION_BYTES = 65_536
MAX_FACTOR = 1e6
# Times of rules may lie in the future, but not in milliseconds: the year 3000 in Unix seconds.
LAST_TIME = 32_503_680_000.0

# Options of a request that a scenario may set; the others belong to one request or user.
_SETTABLE = (
    *("filter", "boost", "min_score", "diversity", "diversity_method", "calibration", "max_per"),
    *("max_shown", "rotation", "repeats", "category", "fields", "k", "track", "explore"),
)
SCENARIO_OPTIONS = tuple(
    name for name in _SETTABLE if name in RecommendationRequest.__struct_fields__
)
SCENARIO_FIELDS = (*SCENARIO_OPTIONS, "rules", "because", "model", "bandit")


@cache
def _defaults_of(kind: type[ItemOptions]) -> dict[str, Any]:
    """Return the values of options that are not set; a length with a default counts as set."""
    defaults = {field.name: field.default for field in struct_fields(kind)}
    return {name: value for name, value in defaults.items() if name != "k" or value is None}


class ScenarioOptions(Struct, frozen=True, kw_only=True):
    """Options that requests naming the scenario have unless they set their own.

    Attributes
    ----------
    name : str
    options : dict
        Values of request options by name.
    rules : tuple of str or None
        Names of the rules that apply; None for all rules that are not for another scenario.
    because : str or None
        Kind of event: the list is made from the newest item of the history with such an event.
    model : str or None
        ID of the snapshot that ranks items; None for the active one.
    bandit : Bandit or None
        How the scenario chooses among policies.
    """

    name: str
    options: dict[str, Any]
    rules: tuple[str, ...] | None = None
    because: str | None = None
    model: str | None = None
    bandit: Bandit | None = None

    @property
    def models(self) -> set[str]:
        """IDs of the snapshots that the scenario names."""
        policies = () if self.bandit is None else self.bandit.policies.values()
        return {one for one in (self.model, *(p.model for p in policies)) if one is not None}

    def applied_to(self, options: O) -> O:
        """Return `options` with the values of the scenario for options that are not set."""
        defaults = _defaults_of(type(options))
        missing = {
            name: value
            for name, value in self.options.items()
            if name in defaults and getattr(options, name) == defaults[name]
        }
        if getattr(options, "exclude_seen", None) is not None:
            missing.pop("repeats", None)
        return replace(options, **missing)


class Pin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item, and its position in lists, from 1."""

    item_id: Annotated[str, Meta(description="Item to show.")]
    position: Annotated[int, Meta(description="Position in the list, from 1.")]


class Bury(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items that are listed after all others."""

    filter: Annotated[str, Meta(description="Expression that selects the items.")]


class Scale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items whose scores are multiplied by a factor."""

    filter: Annotated[str, Meta(description="Expression that selects the items.")]
    factor: Annotated[float, Meta(description="Factor of the scores, 0 to 1,000,000.")]


class Rule(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"start": "from"},
):
    """A merchandising rule: one of `pin`, `bury` and `scale`.

    Attributes
    ----------
    scenario : str or None
        Scenario to which the rule is restricted.
    start, until : float, str or None
        Times between which the rule applies (`start` included, `until` excluded): Unix seconds, or
        RFC 3339 before the rule is checked. None means no bound. In JSON, `start` is ``from``.
    """

    pin: Pin | None = None
    bury: Bury | None = None
    scale: Scale | None = None
    scenario: Annotated[str | None, Meta(description="Apply only to lists of this scenario.")] = (
        None
    )
    start: Annotated[str | float | None, Meta(description="Time from which the rule applies.")] = (
        None
    )
    until: Annotated[str | float | None, Meta(description="Time at which the rule ends.")] = None

    @property
    def times(self) -> tuple[float, float]:
        """Time from which the rule applies and time at which it ends, in Unix seconds."""
        return (
            -math.inf if self.start is None else float(self.start),
            math.inf if self.until is None else float(self.until),
        )


def check_scenario(name: str, fields: object) -> dict[str, Any]:
    """Return the fields of a scenario as they are stored; fields that are None are left out.

    The values are checked by the functions that check those of a request.

    Raises
    ------
    InvalidInput
        The name, a field or a value is invalid; the error names the field.
    """
    check_id(name, "name")
    given = _given(name, fields, "scenario", SCENARIO_FIELDS)
    rules, because = given.pop("rules", None), given.pop("because", None)
    model, bandit = given.pop("model", None), given.pop("bandit", None)
    options = make_options(RecommendationRequest, **given)
    check_options(options)
    body = {field: getattr(options, field) for field in given}
    if because is not None:
        body["because"] = check_id(because, "because")
    if model is not None:
        body["model"] = check_id(model, "model")
    if bandit is not None:
        body["bandit"] = check_bandit(name, bandit)
    if rules is not None:
        body["rules"] = [check_id(rule, "rules") for rule in as_list(rules, "rules", "rule names")]
        if len(body["rules"]) > MAX_DEFINITIONS:
            raise InvalidInput(
                f"rules has {len(body['rules']):,} names; at most {MAX_DEFINITIONS:,} are allowed",
                field="rules",
            )
    return checked_size(msgspec.to_builtins(body))


def scenario_of(name: str, body: Mapping[str, Any]) -> ScenarioOptions | None:
    """Return the scenario that is stored as `body`; None if another version wrote its values.

    Fields of other versions are ignored.
    """
    known = {field: value for field, value in body.items() if field in SCENARIO_OPTIONS}
    try:
        options = make_options(RecommendationRequest, **known)
    except InvalidInput:
        return None
    rules = body.get("rules")
    return ScenarioOptions(
        name=name,
        options={field: getattr(options, field) for field in known},
        rules=None if rules is None else tuple(rules),
        because=body.get("because"),
        model=body.get("model"),
        bandit=bandit_of(body["bandit"]) if "bandit" in body else None,
    )


def check_rule(name: str, fields: object) -> dict[str, Any]:
    """Return the fields of a rule as they are stored, with times in Unix seconds.

    Expressions are checked by the engine, which knows the attributes of the catalogue.

    Raises
    ------
    InvalidInput
        The name, a field or a value is invalid; the error names the field.
    """
    check_id(name, "name")
    given = _given(name, fields, "rule", Rule.__struct_encode_fields__)
    for bound in ("from", "until"):
        if isinstance(given.get(bound), date):  # a date of TOML or Python, or a datetime
            given[bound] = given[bound].isoformat()
    try:
        rule = msgspec.convert(given, Rule)
    except msgspec.ValidationError as error:
        raise refused(error) from None
    actions = [one for one in ("pin", "bury", "scale") if getattr(rule, one) is not None]
    if len(actions) != 1:
        raise InvalidInput(
            f"a rule has exactly one of pin, bury and scale; this one has "
            f"{' and '.join(actions) or 'none of them'}",
            field=actions[1] if actions else "pin",
        )
    _check_action(rule)
    if rule.scenario is not None:
        check_id(rule.scenario, "scenario")
    rule = replace(rule, start=_time(rule.start, "from"), until=_time(rule.until, "until"))
    start, until = rule.times
    if start >= until:
        raise InvalidInput(
            f"the rule ends at {until:.15g} (until), before it begins at {start:.15g} (from)",
            field="until",
        )
    return checked_size(msgspec.to_builtins(rule))


def rule_of(body: Mapping[str, Any]) -> Rule | None:
    """Return the rule that is stored as `body`; None if another version wrote it."""
    try:
        return msgspec.convert(body, Rule)
    except msgspec.ValidationError:
        return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:100], names, 1, 0.5)
    if close:
        return f"; did you mean {close[0]!r:.100}?"
    shown = ", ".join(repr(one)[:60] for one in names[:10])
    return (
        f"; known are {shown}{', ...' if len(names) > 10 else ''}"
        if names
        else "; none is stored yet"
    )


def _given(name: str, fields: object, kind: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that are set; refuse unknown ones, and a name that differs."""
    given = plain(mapping(fields, kind, "{'k': 5}"))
    if given.pop("name", name) != name:
        raise InvalidInput("name differs from the name of the definition; omit it", field="name")
    for field in given:
        if kind == SCENARIO and field == "scenario":
            raise InvalidInput(
                "a scenario cannot refer to a scenario; set the options themselves", field=field
            )
        if field not in known:
            raise InvalidInput(
                f"{field!r:.100} is no field of a {kind}{nearest(str(field), known)}",
                field=str(field)[:100],
            )
    return {field: value for field, value in given.items() if value is not None}


def _check_action(rule: Rule) -> None:
    if rule.pin is not None:
        check_id(rule.pin.item_id, "pin.item_id")
        whole_number(rule.pin.position, "pin.position", least=1, most=MAX_K)
    if rule.scale is not None and not 0 <= check_number(rule.scale.factor, "scale.factor") <= (
        MAX_FACTOR
    ):
        raise InvalidInput(
            f"scale.factor is {rule.scale.factor:.15g}; it must be from 0 to {MAX_FACTOR:,.0f}",
            field="scale.factor",
        )


def _time(value: str | float | None, field: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not 0 <= value <= LAST_TIME:
        raise InvalidInput(
            f"{field} is {value:.15g}; it must be RFC 3339 or Unix seconds, not milliseconds",
            field=field,
        )
    return parse_time(value, field, now=LAST_TIME)


def checked_size(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a definition; raise `InvalidInput` if they are too large."""
    size = len(msgspec.json.encode(body))
    if size > MAX_DEFINITION_BYTES:
        raise InvalidInput(
            f"the definition has {size:,} bytes; at most {MAX_DEFINITION_BYTES:,} are allowed"
        )
    return body


def refused(error: msgspec.ValidationError) -> InvalidInput:
    """Return the error for fields of wrong types, with the name of the first."""
    what, _, place = str(error).partition(" - at `$.")
    field = place.rstrip("`")
    return InvalidInput(f"{field or 'the definition'}: {what}", field=field or None)
