"""Route for what users were shown."""

from typing import Annotated

from litestar import post
from litestar.openapi.spec import Example
from litestar.params import Body

from nearline.server.bodies import ImpressionsIn, ImpressionsOut
from nearline.server.context import engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.security import SCOPE

_SEEN = [
    Example(
        summary="two items that were seen",
        value={"recommendation_id": "5f0c1e", "item_ids": ["i1", "i2"], "user_id": "u1"},
    )
]


@post("/impressions", status_code=200, tags=["events"], opt={SCOPE: "events"})
async def add_impressions(
    request: StrictRequest,
    data: Annotated[ImpressionsIn, Body(description="A list, and what was seen.", examples=_SEEN)],
) -> ImpressionsOut:
    """Record what a user saw, for frequency caps and rotation; it counts in the next list.

    It is logged within a second: if the server is killed before, it is lost.
    """
    engine = engine_of(request)
    seen = engine.add_impressions(data.recommendation_id, data.item_ids, data.user_id)
    return ImpressionsOut(accepted=seen)
