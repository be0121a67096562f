"""Commands around items: search, popular and trending items, audiences, and listings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.ask import list_rows, scored_rows, title_of
from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table
from nearline.cli.request_options import request_options
from nearline.schema.questions import (
    AudienceRequest,
    CountedRequest,
    ItemsRequest,
    SearchRequest,
    UsersRequest,
)

if TYPE_CHECKING:
    from nearline.engine import Recommender
    from nearline.schema import Recommendation


@click.command(
    epilog=example(
        "nearline search --store shop/ 'green te'",
        "nearline search --store shop/ tea --filter 'price < 20' --user u1",
    )
)
@click.argument("text")
@store_option
@request_options(SearchRequest, without=["q"])
@json_option
def search(text: str, store: Path, as_json: bool, **options: Any) -> None:
    """Find the items that match TEXT.

    Items are found by words and by the beginning of the last word.
    """
    with open_store(store) as engine:
        found = engine.search(text, **options)
        rows = scored_rows(engine, found, options["fields"])
    if as_json:
        write_json({"items": found})
    else:
        write_table(rows, numbers=[0, 3])


@click.command(
    epilog=example(
        "nearline popular --store shop/ -k 5",
        "nearline popular --store shop/ --context country=FR --filter 'price < 20'",
    )
)
@store_option
@request_options(CountedRequest)
@json_option
def popular(store: Path, as_json: bool, **options: Any) -> None:
    """List the items with the most events."""
    with open_store(store) as engine:
        _write(engine, engine.popular(**options), options["fields"], as_json=as_json)


@click.command(epilog=example("nearline trending --store shop/ -k 5"))
@store_option
@request_options(CountedRequest)
@json_option
def trending(store: Path, as_json: bool, **options: Any) -> None:
    """List the items with the most events lately, then popular ones."""
    with open_store(store) as engine:
        _write(engine, engine.trending(**options), options["fields"], as_json=as_json)


@click.command(epilog=example("nearline audience --store shop/ i1 -k 5"))
@click.argument("item")
@store_option
@request_options(AudienceRequest)
@json_option
def audience(item: str, store: Path, as_json: bool, **options: Any) -> None:
    """List the users who would like ITEM most."""
    with open_store(store) as engine:
        found = engine.audience(item, **options)
    if as_json:
        write_json({"item_id": item, "users": found})
        return
    rows = [
        [str(place), line.user_id, f"{line.score:#.4g}"]
        for place, line in enumerate(found, start=1)
    ]
    write_table([["#", "user", "score"], *rows], numbers=[0, 2])


@click.command(epilog=example("nearline items --store shop/ --filter 'price < 20'"))
@store_option
@request_options(ItemsRequest)
@json_option
def items(store: Path, as_json: bool, **options: Any) -> None:
    """List a page of the items, in alphabetical order of their IDs."""
    with open_store(store) as engine:
        page = engine.item_page(ItemsRequest(**options))
        rows = [[line.item_id, title_of(engine, line.item_id)] for line in page.items]
    if as_json:
        write_json(page)
        return
    write_table([["item", "title"], *rows])
    _tell_next(page.next)


@click.command(epilog=example("nearline users --store shop/ -k 1000"))
@store_option
@request_options(UsersRequest)
@json_option
def users(store: Path, as_json: bool, **options: Any) -> None:
    """List a page of the users, in alphabetical order of their IDs."""
    with open_store(store) as engine:
        page = engine.user_page(UsersRequest(**options))
    if as_json:
        write_json(page)
        return
    attributes = [
        ", ".join(f"{name}={value}" for name, value in line.attributes.items())
        for line in page.users
    ]
    ids = [line.user_id for line in page.users]
    write_table([["user", "attributes"], *map(list, zip(ids, attributes, strict=True))])
    _tell_next(page.next)


def _write(
    engine: "Recommender",
    lines: "Sequence[Recommendation]",
    fields: Sequence[str],
    *,
    as_json: bool,
) -> None:
    if as_json:
        write_json({"items": lines})
    else:
        write_table(list_rows(engine, lines, fields, with_reasons=False), numbers=[0, 3])


def _tell_next(cursor: str | None) -> None:
    if cursor is not None:
        click.echo(f"The next page: --cursor {cursor}")
