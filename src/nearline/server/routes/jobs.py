"""Slow work beside serving: ask for it, follow it, cancel it."""

import asyncio
from typing import Annotated

from litestar import delete, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from nearline.errors import InvalidInput
from nearline.jobs.queue import Job
from nearline.server.bodies import JobIn, JobsOut
from nearline.server.context import engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id

JobId = Annotated[str, PathParameter(description="As the job was answered.")]

_JOBS = [Example(summary="train", value={"kind": "train"})]


@post("/jobs", status_code=202, tags=["jobs"])
async def submit_job(
    request: StrictRequest,
    data: Annotated[JobIn, Body(description="What to do.", examples=_JOBS)],
) -> Job:
    """Queue a training, a merge, a checkpoint or the encoding of texts; it runs beside serving."""
    engine = engine_of(request)
    if data.kind == "train":
        # Checking the settings may import the model's libraries: not in the event loop.
        return await asyncio.to_thread(
            engine.train, data.seed, model=data.model, settings=data.settings
        )
    if (data.seed, data.model, data.settings) != (0, None, None):
        raise InvalidInput(
            "seed, model and settings are for kind 'train'; leave them out", field="kind"
        )
    queue = {"merge": engine.merge, "checkpoint": engine.checkpoint, "embed": engine.embed}
    return queue[data.kind]()


@get("/jobs", tags=["jobs"])
async def list_jobs(request: StrictRequest) -> JobsOut:
    """Return the jobs that wait or run and the last that are over, newest first."""
    return JobsOut(jobs=engine_of(request).jobs.list())


@get("/jobs/{job_id:str}", tags=["jobs"])
async def get_job(request: StrictRequest, job_id: JobId) -> Job:
    """Return how far a job is, or how it ended."""
    return engine_of(request).jobs.get(path_id(job_id, "job_id"))


@delete("/jobs/{job_id:str}", status_code=202, tags=["jobs"])
async def cancel_job(request: StrictRequest, job_id: JobId) -> Job:
    """Cancel a job; one that is over stays as it is."""
    return engine_of(request).jobs.cancel(path_id(job_id, "job_id"))
