"""Options that several commands share, and opening the store that one of them names."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.errors import DataNotFound, StoreInUse

if TYPE_CHECKING:
    from nearline.adapters.llm_config import LlmConfig
    from nearline.config import Config
    from nearline.engine import Recommender

MAX_K = 1_000  # as nearline.schema.MAX_K, which is not imported for the sake of a quick --help


def example(*lines: str) -> str:
    r"""Epilog of a command: commands to copy, kept as they are (``\b`` stops re-wrapping)."""
    return "\b\n" + "\n".join(("Example:", *(f"  {line}" for line in lines)))


def _pairs(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    columns = {}
    for pair in given:
        field, equals, name = pair.partition("=")
        if not (field and equals and name):
            raise click.BadParameter(
                f"{pair!r} is not FIELD=COLUMN; write for example timestamp=InvoiceDate"
            )
        columns[field] = name
    return columns or None


store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    envvar="NEARLINE_STORE",
    show_envvar=True,
    required=True,
    metavar="DIR",
    help="Folder that keeps log and snapshots.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)
k_option = click.option(
    "-k",
    "--k",
    type=click.IntRange(1, MAX_K),
    default=10,
    show_default=True,
    help="Length of the list.",
)
include_seen_option = click.option(
    "--include-seen",
    is_flag=True,
    help="Keep items that the user had, for things that are taken again and again.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all chance."
)
items_option = click.option(
    "--items",
    "items_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Catalogue: item_id and any text, category, number or vector columns.",
)
column_option = click.option(
    "--column",
    "columns",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=COLUMN",
    help="Name of a column that is not called user_id, item_id, timestamp, event or value (of "
    "a catalogue: item_id, title, text, categories, available). Can be given several times.",
)
item_column_option = click.option(
    "--item-column",
    "item_columns",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=COLUMN",
    help="The same for the catalogue alone, where it differs from the interactions.",
)
separator_option = click.option(
    "--separator", metavar="CHAR", help="Character between the fields of CSV files."
)
encoding_option = click.option(
    "--encoding", default="utf-8", show_default=True, help="Encoding of CSV and TSV files."
)


picture_option = click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the result to a .png or .svg file.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the JSON document to a file as well.",
)


def _settings(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    """Turn ``part.name=value`` into nested settings; a value that is no JSON is a text."""
    settings: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        *parts, last = name.split(".")
        if not (equals and all((*parts, last))):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE; write for example factors=64")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        at = settings
        for part in parts:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise click.BadParameter(f"{pair!r}: {part} was set to {at!r} before")
        at[last] = value
    return settings


set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="A setting of the model, its name dotted where it is nested. Can be given several times.",
)


def _context(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    context: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE; write for example country=FR")
        if name in context:
            raise click.BadParameter(f"{name!r} is given more than once; give it one value")
        context[name] = value
    return context or None


context_option = click.option(
    "--context",
    multiple=True,
    callback=_context,
    metavar="NAME=VALUE",
    help="Where, when or how the list is asked for, as events tell it: what fills it up is what is "
    "popular there. Can be given several times.",
)
encoder_option = click.option(
    "--encoder",
    metavar="NAME",
    help="Language model for the texts of items: auto, a folder, a package, a name on the hub or "
    "an endpoint (see the page Encoders). None by default.",
)
llm_url_option = click.option(
    "--llm-url",
    envvar="NEARLINE_LLM_URL",
    show_envvar=True,
    metavar="URL",
    help="Chat endpoint of a language model, such as http://127.0.0.1:11434/v1; its key, where it "
    "wants one, comes from NEARLINE_LLM_KEY.",
)
llm_model_option = click.option(
    "--llm-model",
    envvar="NEARLINE_LLM_MODEL",
    show_envvar=True,
    metavar="NAME",
    help="Name of the language model, as the endpoint knows it.",
)


def llm_config(url: str | None, model: str | None) -> "LlmConfig | None":
    """Return the language model that the two options name; None where neither is given."""
    from nearline.adapters.llm_config import LlmConfig

    if not url and not model:
        return None
    if not url or not model:
        raise click.UsageError("--llm-url and --llm-model belong together: give both")
    return LlmConfig(base_url=url, model=model)


def count(number: int, what: str) -> str:
    """Write a number and its noun, in the plural unless it is one: 1 user, 2 users."""
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what[:-1] + 'ies' if what.endswith('y') else what + 's'}"


def repeats(n_unreachable: int, n_relevant: int) -> str:
    """Say how much of what is held out was in the histories already."""
    return (
        f"{n_unreachable:,} of {count(n_relevant, 'held-out item')} "
        f"{'was' if n_relevant == 1 else 'were'} in the history of the user already: lists without "
        "seen items cannot hold them, and they count as missed. With --include-seen they can be "
        "listed again."
    )


@contextmanager
def open_store(
    folder: Path, config: "Config | None" = None, *, call: str = ""
) -> "Iterator[Recommender]":
    """Open a store that exists; close it at the end.

    `call` is what to ask a server instead, where one has the store open.

    Raises
    ------
    DataNotFound
        There is none.
    StoreInUse
        Another process has it open.
    """
    from nearline.engine import Recommender

    check_store(folder)
    try:
        engine = Recommender.load(folder, config=config)
    except StoreInUse as error:
        raise StoreInUse(
            f"{error}. A server does this by: {call}" if call else str(error)
        ) from error
    with engine:
        yield engine


def check_store(folder: Path) -> None:
    """Raise `DataNotFound` where there is no store: opening would make one of any folder."""
    from nearline.deployment.store import LOG

    if not (folder / LOG).is_file():
        raise DataNotFound(
            f"there is no store at {folder}; make one: nearline import --store {folder} FILE"
        )
