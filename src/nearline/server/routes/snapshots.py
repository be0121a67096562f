"""Routes for snapshots: list them, promote one, roll back."""

import asyncio
from typing import Annotated

from litestar import get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter

from nearline.deployment.versions import Version
from nearline.server.bodies import VersionsOut
from nearline.server.context import engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

SnapshotId = Annotated[str, PathParameter(description="16 hexadecimal digits.")]

# Litestar cannot route ``{id}:promote``: the handler strips the verb from the path segment, and the
# OpenAPI document shows it again.
PROMOTE = ":promote"


@get("/snapshots", tags=["snapshots"], opt={SCOPE: "admin"})
async def list_snapshots(request: StrictRequest) -> VersionsOut:
    """Return the snapshots of the store, oldest first."""
    versions = engine_of(request).versions
    return VersionsOut(snapshots=await asyncio.to_thread(versions.list))


@post("/snapshots/{snapshot_id:str}", status_code=200, tags=["snapshots"], opt={SCOPE: "admin"})
async def promote_snapshot(request: StrictRequest, snapshot_id: SnapshotId) -> Version:
    """Promote a snapshot, whatever its metrics, without dropping requests."""
    versions = engine_of(request).versions
    if not snapshot_id.endswith(PROMOTE):
        raise NotFoundException
    chosen = path_id(snapshot_id.removesuffix(PROMOTE), "snapshot_id")
    return await asyncio.to_thread(versions.promote, chosen)


@post("/snapshots:rollback", status_code=200, tags=["snapshots"], opt={SCOPE: "admin"})
async def roll_back(request: StrictRequest) -> Version:
    """Promote the previously promoted snapshot again, without dropping requests."""
    return await asyncio.to_thread(engine_of(request).versions.rollback)
