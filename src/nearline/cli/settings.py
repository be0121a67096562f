"""Settings of a command: its options, then the environment, then a file, then the defaults."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nearline.cli.options import example, json_option, optional_store_option
from nearline.cli.output import printable, write_json, write_table

if TYPE_CHECKING:
    from nearline.config import Config

_FILE = "nearline.config"


def _keep_file(ctx: click.Context, _parameter: click.Parameter, given: Path | None) -> None:
    ctx.meta[_FILE] = given


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    expose_value=False,
    callback=_keep_file,
    help="File of settings. Default: nearline.toml in the store's folder, if it exists.",
)


def config_file() -> str | None:
    """Return the value of `--config` of the running command; None if it was not given."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.meta.get(_FILE)
    return None if found is None else str(found)


def is_given(*parameters: str) -> bool:
    """Return whether one of the parameters was set on the command line or in the environment."""
    sources = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    context = click.get_current_context()
    return any(context.get_parameter_source(parameter) in sources for parameter in parameters)


def command_config(
    store: Path | None,
    *,
    file: str | None = None,
    weights: dict[str, float] | None = None,
    **given: Any,
) -> "Config":
    """Return the settings of a command for a store.

    Parameters
    ----------
    file : str or None
        File of settings; None for `--config` of the running command, or else that of the store.
    weights : dict or None
        Weights of kinds of events, which are joined with those of the file.
    given
        Settings of `Config` that were given by options.
    """
    from msgspec.structs import replace

    from nearline.config import Config, with_settings_of

    config = with_settings_of(store, Config(file=file or config_file()))
    if "model" in given and "settings" not in given:
        given["settings"] = {}  # those of the file are for its own model
    if weights:
        joined = {**config.state.event_weights, **weights}
        given["state"] = replace(config.state, event_weights=joined)
    return replace(config, **given)


@click.group("config", epilog=example("nearline config check --store shop/"))
def config() -> None:
    """Check the file of settings."""


@config.command(
    "check",
    epilog=example(
        "nearline config check --store shop/", "nearline config check --config settings.toml"
    ),
)
@optional_store_option
@config_option
@json_option
def check(store: Path | None, as_json: bool) -> None:
    """Check nearline.toml in the store's folder, or FILE, and show what it sets.

    Commands use their options first, then the environment, then the file, then the defaults.
    """
    from nearline.config import read_settings
    from nearline.errors import DataNotFound

    if store is None and config_file() is None:
        raise click.UsageError("Name a store with --store, or a file with --config.")
    if store is not None and not store.is_dir():
        raise DataNotFound(
            f"there is no folder {store}; name that of a store, or a file with --config"
        )
    found = read_settings(store, config_file())
    settings = command_config(store)
    settings.new_model()
    server_limits(store)
    rows = [*_flat("", found.config), *_flat("limits.", found.limits)]
    if as_json:
        path = None if found.path is None else str(found.path)
        write_json({"file": path, "settings": dict(rows)})
        return
    if found.path is None:
        click.echo("There is no file of settings; the defaults hold.")
        return
    click.echo(f"{printable(str(found.path))} is valid.")
    if rows:
        write_table([["setting", "value"], *([name, repr(value)] for name, value in rows)])


def server_limits(store: Path | None, memory: int | None = None) -> Any:
    """Return the limits of a server: those of the file, and the memory budget."""
    import msgspec
    from msgspec.structs import replace

    from nearline.config import check_names, read_settings
    from nearline.errors import InvalidInput
    from nearline.server.limits import Limits

    found = read_settings(store, config_file())
    try:
        check_names(found.limits, Limits, "limits.")
        limits = msgspec.convert(found.limits, Limits)
    except (InvalidInput, msgspec.ValidationError) as error:
        raise InvalidInput(f"{found.path} is not valid: {error}") from None
    memory = memory or found.config.get("memory")
    return limits if memory is None else replace(limits, memory=memory)


def _flat(before: str, settings: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return nested settings as pairs of a dotted name and a value."""
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, dict) and value and name not in ("settings", "max_per"):
            rows += _flat(f"{before}{name}.", value)
        else:
            rows.append((before + name, value))
    return rows
