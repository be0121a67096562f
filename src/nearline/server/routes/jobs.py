"""Routes for background jobs: submit, list, inspect and cancel them."""

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
from nearline.server.security import SCOPE

JobId = Annotated[str, PathParameter(description="ID from the answer that submitted the job.")]

_JOBS = [Example(summary="train", value={"kind": "train"})]


@post("/jobs", status_code=202, tags=["jobs"], opt={SCOPE: "admin"})
async def submit_job(
    request: StrictRequest,
    data: Annotated[
        JobIn, Body(description="Kind of job, and the settings of a training.", examples=_JOBS)
    ],
) -> Job:
    """Queue a background job: training, merge, checkpoint, encoding of texts or retention."""
    engine = engine_of(request)
    if data.kind == "train":
        # Checking the settings may import the model's libraries, so it runs in a thread.
        return await asyncio.to_thread(
            engine.train, data.seed, model=data.model, settings=data.settings
        )
    if (data.seed, data.model, data.settings) != (0, None, None):
        raise InvalidInput(
            "seed, model and settings are only for kind 'train'; omit them", field="kind"
        )
    queue = {
        "merge": engine.merge,
        "checkpoint": engine.checkpoint,
        "embed": engine.embed,
        "retention": engine.expire,
    }
    return queue[data.kind]()


@get("/jobs", tags=["jobs"], opt={SCOPE: "admin"})
async def list_jobs(request: StrictRequest) -> JobsOut:
    """Return queued, running and recently finished jobs, newest first."""
    return JobsOut(jobs=engine_of(request).jobs.list())


@get("/jobs/{job_id:str}", tags=["jobs"], opt={SCOPE: "admin"})
async def get_job(request: StrictRequest, job_id: JobId) -> Job:
    """Return the progress or the outcome of a job."""
    return engine_of(request).jobs.get(path_id(job_id, "job_id"))


@delete("/jobs/{job_id:str}", status_code=202, tags=["jobs"], opt={SCOPE: "admin"})
async def cancel_job(request: StrictRequest, job_id: JobId) -> Job:
    """Cancel a job; a finished job does not change."""
    return engine_of(request).jobs.cancel(path_id(job_id, "job_id"))
