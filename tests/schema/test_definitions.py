"""Scenarios and rules: what is accepted, how it is stored, and how a scenario is applied."""

from typing import Any

import pytest

from nearline.errors import InvalidInput
from nearline.schema import ListOptions, RecommendationRequest
from nearline.schema.definitions import (
    MAX_DEFINITION_BYTES,
    SCENARIO_FIELDS,
    check_rule,
    check_scenario,
    nearest,
    rule_of,
    scenario_of,
)

PIN = {"pin": {"item_id": "i", "position": 1}}


def test_a_scenario_keeps_the_fields_that_are_set() -> None:
    body = check_scenario("home", {"k": 5, "repeats": "auto", "category": None, "name": "home"})
    assert body == {"k": 5, "repeats": "auto"}
    scenario = scenario_of("home", body | {"of_a_later_version": 1})
    assert scenario is not None
    assert scenario.options == body


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, {"k": 5, "repeats": "include"}),
        ({"k": 10}, {"k": 10, "repeats": "include"}),
        ({"repeats": "auto"}, {"k": 5, "repeats": "auto"}),
        ({"exclude_seen": True}, {"k": 5, "repeats": None, "exclude_seen": True}),
        ({"exclude_seen": False, "category": "c"}, {"k": 5, "repeats": None, "category": "c"}),
    ],
)
def test_values_of_the_request_have_priority(
    request_: dict[str, Any], expected: dict[str, Any]
) -> None:
    scenario = scenario_of("home", check_scenario("home", {"k": 5, "repeats": "include"}))
    assert scenario is not None
    applied = scenario.applied_to(ListOptions(**request_))
    assert {name: getattr(applied, name) for name in expected} == expected
    assert scenario.applied_to(applied) == applied


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"scenario": "other"}, "scenario", "cannot refer to a scenario"),
        ({"repeat": "auto"}, "repeat", "did you mean 'repeats'"),
        ({"user_id": "u"}, "user_id", "is no field of a scenario"),
        ({"k": 0}, "k", "1 to 1000"),
        ({"k": 1_001}, "k", "1 to 1000"),
        ({"k": "5"}, "k", "whole number"),
        ({"repeats": "sometimes"}, "repeats", "exclude, include, auto"),
        ({"rules": "sale"}, "rules", "must be a list"),
        ({"rules": [""]}, "rules", "is empty"),
        ({"rules": ["x"] * 1_001}, "rules", "at most 1,000"),
        ({"rules": ["x" * 500] * 200}, None, f"at most {MAX_DEFINITION_BYTES:,}"),
        ({"name": "other"}, "name", "differs"),
        ([], "scenario", "must be a mapping"),
    ],
)
def test_wrong_scenarios_are_refused(fields: Any, field: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        check_scenario("home", fields)
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["", "x" * 513, "a\0b", 5])
def test_wrong_names_are_refused(name: Any) -> None:
    for check, fields in ((check_scenario, {}), (check_rule, PIN)):
        with pytest.raises(InvalidInput) as refused:
            check(name, fields)
        assert refused.value.field == "name"


def test_times_of_a_rule_are_stored_in_unix_seconds() -> None:
    body = check_rule("r", PIN | {"from": "2030-01-01", "until": 2_000_000_000, "scenario": "s"})
    assert body == PIN | {"from": 1_893_456_000.0, "until": 2_000_000_000.0, "scenario": "s"}
    rule = rule_of(body)
    assert rule is not None
    assert rule.times == (1_893_456_000.0, 2_000_000_000.0)
    assert check_rule("r", body) == body


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "pin"),
        (PIN | {"bury": {"filter": "a"}}, "bury"),
        ({"pin": {"item_id": "i"}}, "pin"),
        ({"pin": {"item_id": "i", "position": 0}}, "pin.position"),
        ({"pin": {"item_id": "i", "position": 1_001}}, "pin.position"),
        ({"pin": {"item_id": "", "position": 1}}, "pin.item_id"),
        ({"pin": {"item_id": "i", "position": 1.5}}, "pin.position"),
        ({"pin": ["i"]}, "pin"),
        ({"bury": {}}, "bury"),
        ({"scale": {"filter": "a", "factor": -1.0}}, "scale.factor"),
        ({"scale": {"filter": "a", "factor": float("nan")}}, "scale.factor"),
        ({"scale": {"filter": "a", "factor": float("inf")}}, "scale.factor"),
        ({"scale": {"filter": "a", "factor": 2e6}}, "scale.factor"),
        ({"scales": {"filter": "a", "factor": 2}}, "scales"),
        (PIN | {"from": 2_000, "until": 1_000}, "until"),
        (PIN | {"from": 1_000, "until": 1_000}, "until"),
        (PIN | {"from": 1.7e12}, "from"),
        (PIN | {"until": "tomorrow"}, "until"),
        (PIN | {"until": float("nan")}, "until"),
        (PIN | {"until": -1}, "until"),
        (PIN | {"scenario": ""}, "scenario"),
    ],
)
def test_wrong_rules_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_rule("r", fields)
    assert refused.value.field == field


def test_the_nearest_name_is_stated() -> None:
    assert nearest("hoem", ["home", "cart"]) == "; did you mean 'home'?"
    assert nearest("x", ["home", "cart"]) == "; known are 'cart', 'home'"
    assert nearest("x", []) == "; none is stored yet"
    assert "..." in nearest("zzz", [f"name {n}" for n in range(11)])
    assert len(nearest("y" * 100_000, ["x" * 512] * 1)) < 300


def test_scenarios_have_the_options_of_requests_and_their_rules() -> None:
    assert set(SCENARIO_FIELDS) - {"rules", "because", "model", "bandit"} <= set(
        RecommendationRequest.__struct_fields__
    )
    assert {"k", "repeats", "rules", "model"} <= set(SCENARIO_FIELDS)
