"""Commands that read from a store: recommendations, similar items, explanations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import (
    example,
    json_option,
    llm_config,
    llm_model_option,
    llm_url_option,
    open_store,
    store_option,
)
from nearline.cli.output import write_json, write_table
from nearline.cli.request_options import request_options
from nearline.cli.settings import config_file, config_option
from nearline.errors import UnknownItem
from nearline.schema import ExplainOptions, RecommendationRequest, SimilarOptions

if TYPE_CHECKING:
    from nearline.config import Config
    from nearline.engine import Recommender
    from nearline.schema import Part, Recommendation, ScoredItem
    from nearline.schema.records import AttributeValue


@click.command(
    epilog=example(
        "nearline recommend --store shop/ u1 -k 5 --explain",
        "nearline recommend --store shop/ u1 --filter 'price < 20' --boost 'sale ? 2.0 : 1.0'",
    )
)
@click.argument("user")
@store_option
@request_options(RecommendationRequest, without=["user_id"])
@llm_url_option
@llm_model_option
@config_option
@json_option
def recommend(
    user: str,
    store: Path,
    llm_url: str | None,
    llm_model: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Recommend items to USER, known or not.

    Each line has a tier, which says how it was made: personal or session (from a history), stated
    (similar to --preferences), context (popular in --context), trending or popular. A tier ends in
    +llm if the language model moved the line.
    """
    request = RecommendationRequest(user_id=user, **fields)
    config = _config(llm_url, llm_model)
    if request.rerank and config.llm is None:
        raise click.UsageError("--rerank needs a language model: give --llm-url and --llm-model")
    with open_store(store, config if request.rerank else None) as engine:
        answer = engine.answer(request)
        rows = list_rows(engine, answer.items, request.fields, with_reasons=request.explain)
    if as_json:
        write_json(answer)
    else:
        write_table(rows, numbers=[0, 3])


@click.command(
    epilog=example(
        "nearline similar --store shop/ i1 -k 5",
        "nearline similar --store shop/ i1 --filter 'price < 20' --fields price",
    )
)
@click.argument("item")
@store_option
@request_options(SimilarOptions)
@config_option
@json_option
def similar(item: str, store: Path, as_json: bool, **options: Any) -> None:
    """List the items most similar to ITEM."""
    with open_store(store) as engine:
        found = engine.similar(item, **options)
        rows = scored_rows(engine, found, options["fields"])
    if as_json:
        write_json({"item_id": item, "items": found, "rules": found.rules, "next": found.next})
    else:
        write_table(rows, numbers=[0, 3])


@click.command(epilog=example("nearline explain --store shop/ u1 i1"))
@click.argument("user")
@click.argument("item")
@store_option
@request_options(ExplainOptions)
@llm_url_option
@llm_model_option
@config_option
@json_option
def explain(
    user: str,
    item: str,
    store: Path,
    words: bool,
    llm_url: str | None,
    llm_model: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Explain the score of ITEM for USER.

    Lists all parts of the score, largest first; they sum to it. With --words, a sentence comes from
    the language model if one is named and answers in time, else from a template.
    """
    config = _config(llm_url, llm_model) if words else None
    with open_store(store, config) as engine:
        why = engine.explain(user, item, words=words, **options)
        rows = [
            [signed(part.amount, 6), part.relation, part.source, title_of(engine, part.source)]
            for part in why.parts
        ]
    if as_json:
        write_json(why)
        return
    if why.factor is not None:
        rows.append([f"x {why.factor:.6g}", "boost", "", "(contained in the amounts)"])
    rows.append([signed(why.score, 6), "score", "", f"tier: {why.tier}"])
    write_table([["amount", "relation", "from", "title"], *rows], numbers=[0])
    if words:
        click.echo(f"{why.words}  ({why.worded_by})")


def _config(llm_url: str | None, llm_model: str | None) -> "Config":
    from nearline.config import Config

    return Config(llm=llm_config(llm_url, llm_model), file=config_file())


def scored_rows(
    engine: "Recommender", lines: "Sequence[ScoredItem]", fields: "Sequence[str]"
) -> list[list[str]]:
    """Return items with their scores as the rows of a table, header first."""
    rows = [["#", "item", "title", "score", *fields]]
    for place, line in enumerate(lines, start=1):
        row = [str(place), line.item_id, title_of(engine, line.item_id), f"{line.score:#.4g}"]
        rows.append(row + shown_fields(line.fields, fields))
    return rows


def list_rows(
    engine: "Recommender",
    lines: "Sequence[Recommendation]",
    fields: "Sequence[str]" = (),
    *,
    with_reasons: bool,
) -> list[list[str]]:
    """Return a list as the rows of a table, header first."""
    header = ["#", "item", "title", "score", "tier", *fields]
    rows = [header + ["because of"] * with_reasons]
    for place, line in enumerate(lines, start=1):
        row = [str(place), line.item_id, title_of(engine, line.item_id), f"{line.score:#.4g}"]
        row += [line.tier, *shown_fields(line.fields, fields)]
        if with_reasons:
            reasons = [reason(engine, part) for part in line.reasons]
            if line.factor is not None:
                reasons.append(f"x {line.factor:.4g}  boost")
            row.append("\n".join(reasons))
        rows.append(row)
    return rows


def reason(engine: "Recommender", part: "Part") -> str:
    """Describe one part of a score: its amount, relation and source."""
    source = title_of(engine, part.source) or part.source
    relation = part.relation.replace("_", " ")
    return f"{signed(part.amount, 4)}  {relation}" + (f" with {source}" if source else "")


def signed(amount: float, digits: int) -> str:
    """Format an amount with `digits` decimals, or in scientific notation if they are all 0."""
    text = f"{amount:+.{digits}f}"
    return text if float(text) or not amount else f"{amount:+.1e}"


def shown_fields(fields: "Mapping[str, AttributeValue]", names: "Sequence[str]") -> list[str]:
    """Return the values of fields as cells of a table; empty for missing ones."""
    values = [fields.get(name, "") for name in names]
    return [
        ", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values
    ]


def title_of(engine: "Recommender", item_id: str) -> str:
    """Return the title of an item, or else the start of its text; empty if it has neither."""
    if not item_id:
        return ""
    try:
        return engine.item(item_id).name
    except UnknownItem:
        return ""
