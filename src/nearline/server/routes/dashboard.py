"""Routes of the dashboard: its page and its files."""

import asyncio

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from nearline.server.dashboard import PAGE, dashboard_file
from nearline.server.decoding import StrictRequest
from nearline.server.security import SCOPE


@get("/ui", include_in_schema=False, opt={SCOPE: "open"})
async def dashboard(request: StrictRequest) -> Response[bytes]:
    """Return the page of the dashboard."""
    return await _respond(request, PAGE)


@get("/ui/{name:str}", include_in_schema=False, opt={SCOPE: "open"})
async def dashboard_part(request: StrictRequest, name: FromPath[str]) -> Response[bytes]:
    """Return a file that the page loads."""
    if name == PAGE:
        raise NotFoundException
    return await _respond(request, name)


async def _respond(request: StrictRequest, name: str) -> Response[bytes]:
    # In a thread, since the first call reads and compresses the file.
    found = await asyncio.to_thread(dashboard_file, name)
    if found is None:
        raise NotFoundException
    headers = found.headers()
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(
        found.packed if packed else found.plain, headers=headers, media_type=found.media_type
    )
