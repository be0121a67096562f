"""Route of the report on served lists."""

import asyncio

from litestar import get

from nearline.schema.questions import ReportRequest, as_moment
from nearline.served import ServedReport
from nearline.server.context import engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.queries import READER, QueryReader
from nearline.server.security import SCOPE

_REPORT = QueryReader(ReportRequest, without=())


@get(
    "/report",
    tags=["experiments"],
    opt={SCOPE: "read", READER: _REPORT},
    operation_class=_REPORT.operation(),
)
async def get_report(request: StrictRequest) -> ServedReport:
    """Report what served lists led to: click-through and conversion, by position, tier and more.

    It contains the lists with `track`, of scenarios with `track`, and of experiments.
    """
    engine, asked = engine_of(request), _REPORT.read(request)
    since, until = as_moment(asked.since), as_moment(asked.until)
    return await asyncio.to_thread(engine.report, since, until, scenario=asked.scenario)
