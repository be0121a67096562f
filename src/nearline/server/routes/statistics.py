"""Routes that release statistics about all users, within the privacy budget."""

import asyncio
from typing import Annotated

from litestar import get, post
from litestar.openapi.spec import Example
from litestar.params import Body

from nearline.engine.statistics import PrivacyBudget
from nearline.schema.statistics import Statistics, StatisticsRequest
from nearline.server.context import engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.security import SCOPE

_EXAMPLES = [
    Example(summary="users of categories", value={"of": "categories", "epsilon": 0.1, "k": 20})
]


@post("/statistics", status_code=200, tags=["rights"], opt={SCOPE: "privacy"})
async def release_statistics(
    request: StrictRequest,
    data: Annotated[
        StatisticsRequest, Body(description="What to count, and its price.", examples=_EXAMPLES)
    ],
) -> Statistics:
    """Release numbers of users with noise (differential privacy), after its epsilon was spent."""
    return await asyncio.to_thread(engine_of(request).release, data)


@get("/statistics", tags=["rights"], opt={SCOPE: "privacy"})
async def get_privacy_budget(request: StrictRequest) -> PrivacyBudget:
    """Return the privacy budget, and what was spent of it."""
    return await asyncio.to_thread(engine_of(request).privacy_budget)
