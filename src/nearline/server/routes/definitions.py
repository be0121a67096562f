"""Routes for scenarios and merchandising rules."""

from typing import Annotated, Any

import msgspec
from litestar import delete, get, put
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.engine.policies import PolicyChoice
from nearline.log import Appended
from nearline.schema.definitions import RULE, SCENARIO
from nearline.server.bodies import RuleIn, RulesOut, ScenarioIn, ScenariosOut
from nearline.server.context import durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

Name = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_SCENARIO = [Example(summary="the home page", value={"k": 5, "repeats": "exclude"})]
_SCALE = {"scale": {"filter": '"toys" in categories', "factor": 1.5}}
_RULE = [Example(summary="more toys", value=_SCALE)]


@put("/scenarios/{name:str}", status_code=200, tags=["scenarios"], opt={SCOPE: "items"})
async def put_scenario(
    request: StrictRequest,
    name: Name,
    data: Annotated[
        ScenarioIn, Body(description="Options of requests with ?scenario=NAME.", examples=_SCENARIO)
    ],
) -> Appended:
    """Store a scenario; requests that name it have its options where they set none."""
    return await _define(request, SCENARIO, name, data)


@get("/scenarios/{name:str}", tags=["scenarios"], opt={SCOPE: "read"})
async def get_scenario(request: StrictRequest, name: Name) -> dict[str, Any]:
    """Return the fields that a scenario sets."""
    return engine_of(request).scenario(path_id(name, "name"))


@get("/scenarios/{name:str}/policies", tags=["scenarios"], opt={SCOPE: "read"})
async def get_policies(request: StrictRequest, name: Name) -> PolicyChoice:
    """Return the policies of a scenario: how often each is chosen, and how good it is."""
    return engine_of(request).policies(path_id(name, "name"))


@get("/scenarios", tags=["scenarios"], opt={SCOPE: "read"})
async def list_scenarios(request: StrictRequest) -> ScenariosOut:
    """Return all scenarios, in alphabetical order."""
    return ScenariosOut(scenarios=engine_of(request).scenarios())


@delete("/scenarios/{name:str}", status_code=200, tags=["scenarios"], opt={SCOPE: "items"})
async def delete_scenario(request: StrictRequest, name: Name) -> Appended:
    """Delete a scenario; requests that name it are refused from then on."""
    return await _undefine(request, SCENARIO, name)


@put("/rules/{name:str}", status_code=200, tags=["rules"], opt={SCOPE: "items"})
async def put_rule(
    request: StrictRequest,
    name: Name,
    data: Annotated[
        RuleIn, Body(description="One of pin, bury and scale, and when it holds.", examples=_RULE)
    ],
) -> Appended:
    """Store a merchandising rule: pin an item, list items last, or scale scores."""
    return await _define(request, RULE, name, data)


@get("/rules/{name:str}", tags=["rules"], opt={SCOPE: "read"})
async def get_rule(request: StrictRequest, name: Name) -> dict[str, Any]:
    """Return the fields of a rule; times are in Unix seconds."""
    return engine_of(request).rule(path_id(name, "name"))


@get("/rules", tags=["rules"], opt={SCOPE: "read"})
async def list_rules(request: StrictRequest) -> RulesOut:
    """Return all rules, in alphabetical order."""
    return RulesOut(rules=engine_of(request).rules())


@delete("/rules/{name:str}", status_code=200, tags=["rules"], opt={SCOPE: "items"})
async def delete_rule(request: StrictRequest, name: Name) -> Appended:
    """Delete a rule."""
    return await _undefine(request, RULE, name)


async def _define(
    request: StrictRequest, kind: str, name: str, data: ScenarioIn | RuleIn
) -> Appended:
    engine, fields = engine_of(request), msgspec.to_builtins(data)
    name = path_id(name, "name")
    return await durable(lambda: engine.queue_definition(kind, name, fields), slow=True)


async def _undefine(request: StrictRequest, kind: str, name: str) -> Appended:
    engine, name = engine_of(request), path_id(name, "name")
    return await durable(lambda: engine.queue_removal(kind, name))
