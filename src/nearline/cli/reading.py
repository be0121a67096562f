"""Options for reading files, and for event weights."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import encoding_option, separator_option

if TYPE_CHECKING:
    from nearline.state import StateConfig

_OPTIONS = (
    separator_option,
    encoding_option,
    click.option(
        "--no-header",
        "header",
        flag_value=False,
        default=True,
        type=bool,
        help="The first line is data. Columns have the names 1, 2 and so on: --column user_id=1.",
    ),
    click.option(
        "--time-format",
        metavar="FORMAT",
        help="Format of times: s, ms, us, ns (since 1970), yyyymmdd, yyyymm, year, serial (days "
        "of a spreadsheet), position, or a pattern such as '%d.%m.%Y %H:%M'. Default: detected.",
    ),
    click.option(
        "--day-first/--month-first",
        "day_first",
        default=None,
        help="Whether 1/2/2020 is in February or in January. Default: detected from days above 12.",
    ),
    click.option(
        "--missing",
        multiple=True,
        metavar="TEXT",
        help="Text that means a missing value, in addition to NULL, N/A and others. Can be given "
        "several times.",
    ),
    click.option(
        "--event",
        metavar="KIND",
        help="Kind of events for which the file has none. Default: view.",
    ),
)
_NAMES = ("separator", "encoding", "header", "time_format", "day_first", "missing", "event")


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of reading files, which the command receives as `reading`."""

    @wraps(command)
    def wrapper(**given: Any) -> None:
        reading = {name: given.pop(name) for name in _NAMES}
        command(
            **given, reading={name: value for name, value in reading.items() if value is not None}
        )

    decorated: Callable[..., None] = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _weights(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    weights = {}
    for pair in (pair for text in given for pair in text.split(",")):
        kind, equals, number = pair.rpartition("=")
        try:
            weights[kind.strip()] = float(number)
        except ValueError:
            equals = ""
        if not (equals and kind.strip()):
            raise click.BadParameter(
                f"{pair!r} is not KIND=NUMBER; for example, write purchase=5,impression=0"
            )
    return weights


weights_option = click.option(
    "--weights",
    multiple=True,
    callback=_weights,
    metavar="KIND=NUMBER,...",
    help="Weights of kinds of events for this call; nearline.toml in the store's folder sets them "
    "for all calls. Negative: the user does not want the item.",
)


def weighed(weights: dict[str, float]) -> "StateConfig":
    """Return the settings of a state with these weights."""
    from nearline.state import StateConfig

    return StateConfig(event_weights=weights)
