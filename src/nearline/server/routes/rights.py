"""Routes for the rights of people: consent and interest tags."""

import asyncio
from typing import Annotated, Any, Literal

from litestar import Response, delete, get, put
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from nearline.log import Appended
from nearline.schema import ConsentOut
from nearline.server.bodies_rights import ConsentIn, TagsOut
from nearline.server.context import durable, engine_of
from nearline.server.decoding import StrictRequest
from nearline.server.paths import decoded, path_id
from nearline.server.security import PAGE_HEADERS, PUBLIC, SCOPE
from nearline.server.transparency_page import transparency_page

UserId = Annotated[str, PathParameter(description="Percent-encoded; 1 to 512 bytes of UTF-8.")]
Tag = Annotated[str, PathParameter(description="Percent-encoded: a category or name=value.")]

VARY = "Accept, Accept-Language"
_OBJECTION = [Example(summary="no profiling", value={"profiling": False, "purposes": []})]


@put("/users/{user_id:str}/consent", status_code=200, tags=["rights"], opt={SCOPE: "privacy"})
async def put_consent(
    request: StrictRequest,
    user_id: UserId,
    data: Annotated[ConsentIn, Body(description="What the user allows.", examples=_OBJECTION)],
) -> Appended:
    """Store what a user allows; without profiling, the user's lists are those of a stranger."""
    engine = engine_of(request)
    user_id = path_id(user_id, "user_id")
    return await durable(
        lambda: engine.store_consent(user_id, data.profiling, data.purposes), slow=True
    )


@get("/users/{user_id:str}/consent", tags=["rights"], opt={SCOPE: "privacy"})
async def get_consent(request: StrictRequest, user_id: UserId) -> ConsentOut:
    """Return what a user allows; a user who never chose allows profiling."""
    return engine_of(request).consent(path_id(user_id, "user_id"))


@get(
    "/users/{user_id:str}/export",
    tags=["rights"],
    media_type="application/zip",
    opt={SCOPE: "privacy"},
)
async def export_user(request: StrictRequest, user_id: UserId) -> Response[bytes]:
    """Return everything that is stored about a user: a ZIP file of JSON documents."""
    engine = engine_of(request)
    user_id = path_id(user_id, "user_id")
    content = await asyncio.to_thread(engine.export_user, user_id)
    headers = {"Content-Disposition": 'attachment; filename="user.zip"'}
    return Response(content, media_type="application/zip", headers=headers)


@get("/transparency", tags=["rights"], opt={SCOPE: "read", PUBLIC: True})
async def get_transparency(
    request: StrictRequest,
    lang: Annotated[
        Literal["en", "zh"] | None,
        QueryParameter(description="Language of the page; by default as Accept-Language says."),
    ] = None,
) -> Response[Any]:
    """Return by which criteria lists are made: JSON, or a page if Accept asks for text/html."""
    found = engine_of(request).transparency()
    if "text/html" not in request.headers.get("accept", ""):
        return Response(found, headers={"Vary": VARY})
    wanted = request.headers.get("accept-language", "").strip().lower()
    language = lang or ("zh" if wanted.startswith("zh") else "en")
    page = transparency_page(found, language)
    return Response(page, media_type="text/html", headers={"Vary": VARY, **PAGE_HEADERS})


@get("/users/{user_id:str}/tags", tags=["rights"], opt={SCOPE: "privacy"})
async def list_tags(request: StrictRequest, user_id: UserId) -> TagsOut:
    """Return the interest tags of a user's profile, the strongest first."""
    return TagsOut(tags=engine_of(request).tags(path_id(user_id, "user_id")))


@delete(
    "/users/{user_id:str}/tags/{tag:str}", status_code=200, tags=["rights"], opt={SCOPE: "privacy"}
)
async def delete_tag(request: StrictRequest, user_id: UserId, tag: Tag) -> Appended:
    """Delete an interest tag: lists of the user do not depend on earlier events with it."""
    engine = engine_of(request)
    user_id, tag = path_id(user_id, "user_id"), decoded(tag)
    return await durable(lambda: engine.delete_tag(user_id, tag))
