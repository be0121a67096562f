"""Routes for experiments: definitions, and results."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.evaluation.experiments.results import ExperimentResults
from nearline.log import Appended
from nearline.schema.experiments import EXPERIMENT
from nearline.server.context import durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.experiment_bodies import ExperimentIn, ExperimentsOut
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

Name = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]

_VARIANTS = {"as-it-is": {}, "diverse": {"settings": {"diversity": 0.3}}}
_EXPERIMENT = [Example(summary="two variants", value={"variants": _VARIANTS, "metric": "click"})]


@put("/experiments/{name:str}", status_code=200, tags=["experiments"], opt={SCOPE: "admin"})
async def put_experiment(
    request: StrictRequest,
    name: Name,
    data: Annotated[
        ExperimentIn,
        Body(description="Variants, and who takes part.", examples=_EXPERIMENT),
    ],
) -> Appended:
    """Store an experiment and start it, unless `running` is false."""
    engine, name = engine_of(request), path_id(name, "name")
    fields = msgspec.to_builtins(data)
    return await durable(lambda: engine.queue_experiment(name, fields), slow=True)


@get("/experiments/{name:str}", tags=["experiments"], opt={SCOPE: "read"})
async def get_experiment(request: StrictRequest, name: Name) -> dict[str, Any]:
    """Return the fields of an experiment."""
    return engine_of(request).experiments.get(path_id(name, "name"))


@get("/experiments", tags=["experiments"], opt={SCOPE: "read"})
async def list_experiments(request: StrictRequest) -> ExperimentsOut:
    """Return all experiments, in alphabetical order."""
    return ExperimentsOut(experiments=engine_of(request).experiments.list())


@delete("/experiments/{name:str}", status_code=200, tags=["experiments"], opt={SCOPE: "admin"})
async def delete_experiment(request: StrictRequest, name: Name) -> Appended:
    """Delete an experiment; lists are then as without it."""
    engine, name = engine_of(request), path_id(name, "name")
    return await durable(lambda: engine.queue_removal(EXPERIMENT, name))


@post("/experiments/{name:str}/stop", status_code=200, tags=["experiments"], opt={SCOPE: "admin"})
async def stop_experiment(request: StrictRequest, name: Name) -> Appended:
    """Stop an experiment; lists are then as without it, and its results remain."""
    engine, name = engine_of(request), path_id(name, "name")
    return await durable(lambda: engine.stop_experiment(name))


@get("/experiments/{name:str}/results", tags=["experiments"], opt={SCOPE: "read"})
async def experiment_results(request: StrictRequest, name: Name) -> ExperimentResults:
    """Compare the variants of an experiment; intervals are valid whenever they are looked at."""
    engine, name = engine_of(request), path_id(name, "name")
    return await asyncio.to_thread(engine.experiment_results, name)
