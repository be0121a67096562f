"""Request and response bodies of the routes for the rights of people."""

from typing import Annotated

from msgspec import Meta, Struct

from nearline.schema import InterestTag


class ConsentIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user allows."""

    profiling: Annotated[
        bool,
        Meta(description="Whether lists and models may use what is stored about the user."),
    ]
    purposes: Annotated[
        list[str], Meta(description="Purposes to which the user agreed; at most 50.")
    ] = []


class TagsOut(Struct, frozen=True, kw_only=True):
    """Interest tags, the strongest first."""

    tags: list[InterestTag]
