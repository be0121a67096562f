"""Routes for namespaces: list, create and find them."""

from typing import Annotated

from litestar import get, put
from litestar.params import PathParameter

from nearline.server.bodies import NamespacesOut
from nearline.server.context import app_context
from nearline.server.decoding import StrictRequest
from nearline.server.namespaces import Namespace, namespaces_of
from nearline.server.paths import path_id
from nearline.server.security import SCOPE

Name = Annotated[
    str, PathParameter(description="1 to 64 letters, digits, '.', '_' and '-' of ASCII.")
]


@get("/ns", tags=["namespaces"], opt={SCOPE: "admin"})
async def list_namespaces(request: StrictRequest) -> NamespacesOut:
    """Return the namespaces of the server, in alphabetical order."""
    found = await namespaces_of(app_context(request)).names()
    return NamespacesOut(namespaces=found)


@put("/ns/{name:str}", status_code=200, tags=["namespaces"], opt={SCOPE: "admin"})
async def put_namespace(request: StrictRequest, name: Name) -> Namespace:
    """Create a namespace, whose store is empty; an existing one stays as it is."""
    return await namespaces_of(app_context(request)).create(path_id(name, "name"))


@get("/ns/{name:str}", tags=["namespaces"], opt={SCOPE: "read"})
async def get_namespace(request: StrictRequest, name: Name) -> Namespace:
    """Return a namespace, and whether its store is open."""
    return await namespaces_of(app_context(request)).find(path_id(name, "name"))
