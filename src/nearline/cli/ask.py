"""Commands that ask a store: lists, neighbours, reasons."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import (
    context_option,
    example,
    include_seen_option,
    json_option,
    k_option,
    llm_config,
    llm_model_option,
    llm_url_option,
    open_store,
    store_option,
)
from nearline.cli.output import write_json, write_table
from nearline.errors import UnknownItem

if TYPE_CHECKING:
    from nearline.config import Config
    from nearline.engine import Recommender
    from nearline.schema import Part, Recommendation


@click.command(epilog=example("nearline recommend --store shop/ u1 -k 5 --explain"))
@click.argument("user")
@store_option
@k_option
@include_seen_option
@click.option(
    "--category",
    help="Only items with this label, in any case, with or without its column: Acme, brand=acme.",
)
@click.option("--explain", is_flag=True, help="Say why, line by line.")
@context_option
@click.option("--preferences", metavar="WORDS", help="What the user likes, such as 'green tea'.")
@click.option("--rerank", is_flag=True, help="Let the language model order the first lines.")
@llm_url_option
@llm_model_option
@json_option
def recommend(
    user: str,
    store: Path,
    llm_url: str | None,
    llm_model: str | None,
    as_json: bool,
    include_seen: bool,
    **asked: Any,
) -> None:
    """List the best items for USER, known or not.

    The tier of a line says how it came about: personal, or, where nothing personal is left, near
    to the preferences that were stated, popular in the context, trending or popular; +llm where a
    language model gave it its place.
    """
    from nearline.schema import RecommendationRequest

    request = RecommendationRequest(user_id=user, exclude_seen=not include_seen, **asked)
    config = _config(llm_url, llm_model) if request.rerank else None
    with open_store(store, config) as engine:
        answer = engine.answer(request)
        rows = list_rows(engine, answer.items, with_reasons=request.explain)
    if as_json:
        write_json(answer)
    else:
        write_table(rows, numbers=[0, 3])


@click.command(epilog=example("nearline similar --store shop/ i1 -k 5"))
@click.argument("item")
@store_option
@k_option
@json_option
def similar(item: str, store: Path, k: int, as_json: bool) -> None:
    """List the nearest neighbours of ITEM."""
    with open_store(store) as engine:
        found = engine.similar(item, k)
        rows = [
            [str(place), near.item_id, title_of(engine, near.item_id), f"{near.score:#.4g}"]
            for place, near in enumerate(found, start=1)
        ]
    if as_json:
        write_json({"item_id": item, "items": found})
    else:
        write_table([["#", "item", "title", "score"], *rows], numbers=[0, 3])


@click.command(epilog=example("nearline explain --store shop/ u1 i1"))
@click.argument("user")
@click.argument("item")
@store_option
@click.option("--words", is_flag=True, help="The largest parts in a sentence, too.")
@llm_url_option
@llm_model_option
@json_option
def explain(
    user: str,
    item: str,
    store: Path,
    words: bool,
    llm_url: str | None,
    llm_model: str | None,
    as_json: bool,
) -> None:
    """Show what makes the score of ITEM for USER.

    Every part is listed, the largest first; they sum to the score. A sentence is worded by the
    language model, where one is named and answers in time, or else from a template.
    """
    config = _config(llm_url, llm_model) if words else None
    with open_store(store, config) as engine:
        why = engine.explain(user, item, words=words)
        rows = [
            [signed(part.amount, 6), part.relation, part.source, title_of(engine, part.source)]
            for part in why.parts
        ]
    if as_json:
        write_json(why)
        return
    rows.append([signed(why.score, 6), "score", "", f"tier: {why.tier}"])
    write_table([["amount", "relation", "from", "title"], *rows], numbers=[0])
    if words:
        click.echo(f"{why.words}  ({why.worded_by})")


def _config(llm_url: str | None, llm_model: str | None) -> "Config":
    from nearline.config import Config

    return Config(llm=llm_config(llm_url, llm_model))


def list_rows(
    engine: "Recommender", lines: "Sequence[Recommendation]", *, with_reasons: bool
) -> list[list[str]]:
    """Lay a list out as a table, header first."""
    header = ["#", "item", "title", "score", "tier"]
    rows = [header + ["because of"] * with_reasons]
    for place, line in enumerate(lines, start=1):
        row = [str(place), line.item_id, title_of(engine, line.item_id), f"{line.score:#.4g}"]
        row.append(line.tier)
        if with_reasons:
            row.append("\n".join(reason(engine, part) for part in line.reasons))
        rows.append(row)
    return rows


def reason(engine: "Recommender", part: "Part") -> str:
    """One part of a score in words: how much, through which relation, from what."""
    source = title_of(engine, part.source) or part.source
    relation = part.relation.replace("_", " ")
    return f"{signed(part.amount, 4)}  {relation}" + (f" with {source}" if source else "")


def signed(amount: float, digits: int) -> str:
    """Format an amount with so many decimals, or as a power of ten where they would all be 0."""
    text = f"{amount:+.{digits}f}"
    return text if float(text) or not amount else f"{amount:+.1e}"


def title_of(engine: "Recommender", item_id: str) -> str:
    """Title of an item, empty where the catalogue has none."""
    if not item_id:
        return ""
    try:
        return engine.item(item_id).title
    except UnknownItem:
        return ""
