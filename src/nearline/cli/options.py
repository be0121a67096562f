"""Options that several commands share, and opening of the store in `--store`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec.structs import replace

from nearline.cli.ranges import IntRange
from nearline.cli.request_options import request_option
from nearline.common.counts import count
from nearline.errors import DataNotFound, InvalidInput, StoreInUse
from nearline.schema import DEFAULT_K, ListOptions, request_fields
from nearline.schema.arguments import MAX_SEED
from nearline.schema.rules import AUTO, EXCLUDE, INCLUDE, REPEATS

if TYPE_CHECKING:
    from nearline.adapters.llm_config import LlmConfig
    from nearline.config import Config
    from nearline.engine import Recommender

C = TypeVar("C", bound=Callable[..., Any])


def example(*lines: str) -> str:
    r"""Return an epilog of examples; ``\b`` keeps click from re-wrapping the lines."""
    return "\b\n" + "\n".join(("Example:", *(f"  {line}" for line in lines)))


def _pairs(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    columns = {}
    for pair in given:
        field, equals, name = pair.partition("=")
        if not (field and equals and name):
            raise click.BadParameter(
                f"{pair!r} is not FIELD=COLUMN; for example, write timestamp=InvoiceDate"
            )
        columns[field] = name
    return columns or None


class StorePath(click.Path):
    """Folder of a store, also if its URL is given."""

    name = "store"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the folder of a store."""
        if "://" not in str(value):
            return Path(value)
        from nearline.deployment.location import folder_of

        try:
            return folder_of(value)
        except InvalidInput as error:
            self.fail(error.message, param, ctx)


def _store_option(*, required: bool) -> Callable[[C], C]:
    return click.option(
        "--store",
        type=StorePath(),
        envvar="NEARLINE_STORE",
        show_envvar=True,
        required=required,
        metavar="DIR",
        help="Folder of the store: its log, checkpoint and snapshots; or the URL of a log in "
        "PostgreSQL: postgresql://USER@HOST/DATABASE?folder=DIR.",
    )


store_option, optional_store_option = _store_option(required=True), _store_option(required=False)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document to standard output."
)
_K = next(field for field in request_fields(ListOptions) if field.name == "k")
k_option = request_option(replace(_K, default=DEFAULT_K, description="Length of the list."))
_REPEATS, _NAMED = "nearline.repeats", "nearline.repeats.named"


def _keep_repeats(ctx: click.Context, _parameter: click.Parameter, given: str | None) -> None:
    ctx.meta[_REPEATS] = ctx.meta[_NAMED] = given


def _include_seen(ctx: click.Context, _parameter: click.Parameter, flag: bool) -> bool:
    given = ctx.meta.get(_REPEATS)
    if flag and given not in (None, INCLUDE):
        raise click.UsageError(f"--include-seen means --repeats include, not --repeats {given}")
    if flag:
        ctx.meta[_REPEATS] = INCLUDE
    return flag or given == INCLUDE


def include_seen_option(command: C) -> C:
    """Add the options `--include-seen` and `--repeats`; the command receives `include_seen`.

    `include_seen` is False for `--repeats auto`; see `chosen_repeats`.
    """
    repeats_option = click.option(
        "--repeats",
        type=click.Choice(REPEATS),
        is_eager=True,
        expose_value=False,
        callback=_keep_repeats,
        help="Items of the user's history: exclude (default), include, or auto: what training or "
        "the held-out interactions say.",
    )
    flag = click.option(
        "--include-seen",
        is_flag=True,
        callback=_include_seen,
        help="Keep items of the user's history, for items that users interact with repeatedly: "
        "the same as --repeats include.",
    )
    return flag(repeats_option(command))


def default_repeats() -> str:
    """Return `--repeats` as the default of requests; `--include-seen` alone does not set it."""
    context = click.get_current_context(silent=True)
    return EXCLUDE if context is None else context.meta.get(_NAMED) or EXCLUDE


def repeats_named() -> bool:
    """Return whether `--repeats` was given."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(_NAMED) is not None


def refuse_auto() -> None:
    """Raise a usage error for ``--repeats auto``, in commands that measure before training."""
    if chosen_repeats() == AUTO:
        raise click.UsageError("--repeats auto is not possible here: use exclude or include")


def chosen_repeats() -> str:
    """Return the value of `--repeats` of the running command; "exclude" if it was not given."""
    context = click.get_current_context(silent=True)
    return EXCLUDE if context is None else context.meta.get(_REPEATS) or EXCLUDE


seed_option = click.option(
    "--seed", type=IntRange(0, MAX_SEED), default=0, show_default=True, help="Random seed."
)
items_option = click.option(
    "--items",
    "items_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Catalogue: a table with item_id and any text, category, number or vector columns.",
)
users_option = click.option(
    "--users",
    "users_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Users: a table with user_id and columns of attributes, such as age or country.",
)
column_option = click.option(
    "--column",
    "columns",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=COLUMN",
    help="Column to read as user_id, item_id, timestamp, event or value (in a catalogue: item_id, "
    "title, text, categories, available or expires_at) if its name differs. Can be given several "
    "times.",
)
item_column_option = click.option(
    "--item-column",
    "item_columns",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=COLUMN",
    help="The same for the catalogue only, if its columns differ from those of the interactions.",
)
separator_option = click.option(
    "--separator",
    metavar="TEXT",
    help="Text between the fields of a text file: one or more characters, such as ::.",
)
encoding_option = click.option(
    "--encoding", default="utf-8", show_default=True, help="Encoding of text files."
)
picture_option = click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Plot the result to a .png or .svg file.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the JSON document to a file.",
)


def _settings(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    """Convert ``part.name=value`` to nested settings; a value that is not JSON is a string."""
    settings: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        *parts, last = name.split(".")
        if not (equals and all((*parts, last))):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE; for example, write factors=64")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        at = settings
        for part in parts:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise click.BadParameter(f"{pair!r}: {part} is already set to {at!r}")
        at[last] = value
    return settings


set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="Setting of the model; nested names have dots. Can be given several times.",
)


encoder_option = click.option(
    "--encoder",
    metavar="NAME",
    help="Language model that encodes item texts: auto, a folder, a package, a name on the hub or "
    "an endpoint (see the page Encoders). Default: none.",
)
llm_url_option = click.option(
    "--llm-url",
    envvar="NEARLINE_LLM_URL",
    show_envvar=True,
    metavar="URL",
    help="Chat endpoint of a language model, such as http://127.0.0.1:11434/v1. If it needs a key, "
    "set NEARLINE_LLM_KEY.",
)
llm_model_option = click.option(
    "--llm-model",
    envvar="NEARLINE_LLM_MODEL",
    show_envvar=True,
    metavar="NAME",
    help="Name of the language model at the endpoint.",
)


def llm_config(url: str | None, model: str | None) -> "LlmConfig | None":
    """Return the configuration of a language model; None if neither option is given."""
    from nearline.adapters.llm_config import LlmConfig

    if not url and not model:
        return None
    if not url or not model:
        raise click.UsageError("give both --llm-url and --llm-model, or neither")
    config = LlmConfig(base_url=url, model=model)
    config.check()
    return config


def repeats(n_unreachable: int, n_relevant: int) -> str:
    """Return a note about held-out items that are already in the histories."""
    return (
        f"{n_unreachable:,} of {count(n_relevant, 'held-out item')} "
        f"{'was' if n_relevant == 1 else 'were'} already in the user's history: lists without "
        "seen items cannot contain them, so they count as misses. With --include-seen, lists can "
        "contain them."
    )


@contextmanager
def open_store(
    folder: Path, config: "Config | None" = None, *, call: str = ""
) -> "Iterator[Recommender]":
    """Open an existing store for the duration of a ``with`` block.

    Parameters
    ----------
    call : str
        HTTP request that does the same on a server, for the message of `StoreInUse`.

    Raises
    ------
    DataNotFound
        The folder holds no store.
    StoreInUse
        Another process has the store open.
    """
    from nearline.cli.settings import config_file
    from nearline.config import Config
    from nearline.engine import Recommender

    check_store(folder)
    try:
        engine = Recommender.load(folder, config=config or Config(file=config_file()))
    except StoreInUse as error:
        raise StoreInUse(
            f"{error}. If a server has it open, send {call}" if call else str(error)
        ) from error
    with engine:
        yield engine


def check_store(folder: Path) -> None:
    """Raise `DataNotFound` if `folder` holds no store, since opening it would create one."""
    from nearline.deployment.store import is_store

    if not is_store(folder):
        raise DataNotFound(
            f"there is no store at {folder}; create one: nearline import --store {folder} FILE"
        )
