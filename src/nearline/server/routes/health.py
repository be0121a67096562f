"""Whether the server lives, whether it can answer, what it counted, and how it is used."""

from typing import Any

from litestar import Response, get
from msgspec import Struct

from nearline.server.context import app_context
from nearline.server.decoding import StrictRequest
from nearline.server.page import render_index, render_page

PROMETHEUS_TEXT = "text/plain; version=0.0.4"


class Health(Struct, frozen=True, kw_only=True):
    """Whether all is well, in one word or a few."""

    status: str


@get("/", media_type="text/html", include_in_schema=False)
async def index(request: StrictRequest) -> str:
    """Return a page that links the others."""
    app = app_context(request)
    return render_index(app.document["info"]["version"], app.host.state)


@get("/livez", tags=["operations"])
async def livez() -> Health:
    """Answer as soon as the process does."""
    return Health(status="alive")


@get("/readyz", tags=["operations"])
async def readyz(request: StrictRequest) -> Response[Health]:
    """Answer 200 once the store is open and replayed, 503 until then."""
    state = app_context(request).host.state
    return Response(Health(status=state), status_code=200 if state == "ready" else 503)


@get("/metrics", tags=["operations"], media_type=PROMETHEUS_TEXT)
async def metrics(request: StrictRequest) -> bytes:
    """Return counters and gauges in Prometheus' text format."""
    return app_context(request).metrics.render()


@get("/openapi.json", tags=["operations"])
async def openapi(request: StrictRequest) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return app_context(request).document


@get("/docs", tags=["operations"], media_type="text/html")
async def docs(request: StrictRequest) -> str:
    """Return the documentation as a page."""
    return render_page(app_context(request).document)
