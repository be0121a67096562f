"""Routes for operations: liveness, readiness, metrics and documentation."""

import asyncio
from importlib.metadata import version
from typing import Any

from litestar import Response, get
from msgspec import Struct

from nearline.server.context import app_context
from nearline.server.decoding import StrictRequest
from nearline.server.page import render_index, render_page
from nearline.server.security import PAGE_HEADERS, SCOPE

PROMETHEUS_TEXT = "text/plain; version=0.0.4"


class Health(Struct, frozen=True, kw_only=True):
    """Status of the server."""

    status: str


@get("/", media_type="text/html", include_in_schema=False, opt={SCOPE: "read"})
async def index(request: StrictRequest) -> Response[str]:
    """Return a page with links to the others."""
    app = app_context(request)
    page = render_index(version("nearline"), app.host.state)
    return Response(page, media_type="text/html", headers=PAGE_HEADERS)


@get("/livez", tags=["operations"], opt={SCOPE: "open"})
async def livez() -> Health:
    """Answer 200 as soon as the process accepts requests."""
    return Health(status="alive")


@get("/readyz", tags=["operations"], opt={SCOPE: "open"})
async def readyz(request: StrictRequest) -> Response[Health]:
    """Answer 200 once the store is open and its log replayed, 503 until then."""
    state = app_context(request).host.state
    return Response(Health(status=state), status_code=200 if state == "ready" else 503)


@get("/metrics", tags=["operations"], media_type=PROMETHEUS_TEXT, opt={SCOPE: "read"})
async def metrics(request: StrictRequest) -> bytes:
    """Return counters and gauges in the Prometheus text format."""
    return app_context(request).metrics.render()


@get("/openapi.json", tags=["operations"], opt={SCOPE: "read"})
async def openapi(request: StrictRequest) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return await asyncio.to_thread(app_context(request).document)


@get("/docs", tags=["operations"], media_type="text/html", opt={SCOPE: "read"})
async def docs(request: StrictRequest) -> Response[str]:
    """Return the OpenAPI document as an HTML page."""
    page = render_page(await asyncio.to_thread(app_context(request).document))
    return Response(page, media_type="text/html", headers=PAGE_HEADERS)
