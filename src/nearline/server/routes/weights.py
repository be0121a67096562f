"""Routes for the weights of relations."""

from typing import Annotated

from litestar import delete, get, put
from litestar.openapi.spec import Example
from litestar.params import Body

from nearline.engine.adaptation import Weights
from nearline.log import Appended
from nearline.server.context import durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.experiment_bodies import WeightsIn
from nearline.server.security import SCOPE


@get("/weights", tags=["experiments"], opt={SCOPE: "read"})
async def get_weights(request: StrictRequest) -> Weights:
    """Return the weights of the relations of the active model, and how they changed."""
    return engine_of(request).weights()


@put("/weights", status_code=200, tags=["experiments"], opt={SCOPE: "admin"})
async def put_weights(
    request: StrictRequest,
    data: Annotated[
        WeightsIn,
        Body(
            description="Whether weights stay as they are.",
            examples=[Example(summary="keep the weights", value={"frozen": True})],
        ),
    ],
) -> Appended:
    """Freeze the weights of relations, or let them follow the events again (`adapt`)."""
    engine = engine_of(request)
    return await durable(lambda: engine.queue_frozen(data.frozen))


@delete("/weights", status_code=200, tags=["experiments"], opt={SCOPE: "admin"})
async def reset_weights(request: StrictRequest) -> Appended:
    """Return to the weights of relations that training found: all factors are 1 again."""
    engine = engine_of(request)
    return await durable(engine.queue_reset)
