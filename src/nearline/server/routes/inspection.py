"""Routes that show what the server does, and with which settings."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from litestar import get
from litestar.params import QueryParameter
from litestar.response import Stream

from nearline.server.context import AppContext, app_context
from nearline.server.decoding import StrictRequest
from nearline.server.exchange import exchange_of
from nearline.server.flow import LONGEST_SECONDS
from nearline.server.security import SCOPE

EVENT_STREAM = "text/event-stream"
_SECRET = re.compile(r"(key|token|secret|password|authorization)$", re.IGNORECASE)
_USERINFO = re.compile(r"//[^/@\s]*@")
HIDDEN = "(hidden)"


@get("/flow", tags=["operations"], media_type=EVENT_STREAM, opt={SCOPE: "privacy"})
async def follow_flow(
    request: StrictRequest,
    ids: Annotated[
        Literal["masked", "plain"],
        QueryParameter(description="Show pseudonyms instead of IDs, or the IDs."),
    ] = "masked",
    seconds: Annotated[
        int,
        QueryParameter(
            description="Seconds after which the stream ends, 0 to 300.", ge=0, le=LONGEST_SECONDS
        ),
    ] = LONGEST_SECONDS,
) -> Stream:
    """Follow events and lists as they happen, as server-sent events with a sample of each 0.1 s."""
    app = app_context(request)
    app.flow.check()
    app.host.engine  # noqa: B018  # 503 until the store is open
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if exchange_of(request.scope).method == "HEAD":
        seconds = 0
    frames = _frames(app, seconds, masked=ids == "masked")
    return Stream(frames, media_type=EVENT_STREAM, headers=headers)


async def _frames(app: AppContext, seconds: int, *, masked: bool) -> AsyncIterator[bytes]:
    # A viewer waits most of the time, so it does not count as a request in flight.
    app.traffic.in_flight -= 1
    try:
        async for frame in app.flow.stream(masked=masked, seconds=seconds):
            yield frame
    finally:
        app.traffic.in_flight += 1


@get("/config", tags=["operations"], opt={SCOPE: "admin"})
async def show_config(request: StrictRequest) -> dict[str, Any]:
    """Return the settings in force: those of the engine and the limits of the server."""
    app = app_context(request)
    engine = msgspec.to_builtins(app.host.engine.config)
    return {"engine": _without_secrets(engine), "limits": msgspec.to_builtins(app.limits)}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: HIDDEN if _SECRET.search(name) and of is not None else _without_secrets(of)
            for name, of in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    return _USERINFO.sub("//", value) if isinstance(value, str) else value
