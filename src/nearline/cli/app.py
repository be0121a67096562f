"""The command group, its error handling and exit codes.

Exit codes: 0 for success, 1 for failure with a message on standard error, 2 for wrong usage, 130
after an interrupt (Ctrl-C).

Modules of this package import libraries that load slowly inside functions, so that
``nearline --help`` and messages about wrong usage appear quickly.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from nearline.cli.options import example
from nearline.cli.output import printable
from nearline.cli.wording import for_command_line
from nearline.errors import NearlineError

INTERRUPTED = 130

# Module of each command; `nearline --help` lists the commands in this order.
MODULES = {
    "demo": "demo",
    "playground": "playground",
    "import": "learn",
    "ingest": "ingest",
    "quarantine": "ingest",
    "models": "models",
    "train": "learn",
    "evaluate": "evaluate",
    "compare": "compare",
    "replay": "replay",
    "ope": "ope",
    "info": "info",
    "snapshots": "snapshots",
    "promote": "snapshots",
    "rollback": "snapshots",
    "scenarios": "definitions",
    "rules": "definitions",
    "config": "settings",
    "retain": "retain",
    "seal": "seal",
    "recommend": "ask",
    "similar": "ask",
    "search": "around",
    "popular": "around",
    "trending": "around",
    "audience": "around",
    "explain": "ask",
    "items": "around",
    "users": "around",
    "backup": "backup",
    "restore": "backup",
    "archive": "backup",
    "keys": "keys",
    "audit": "audit",
    "comply": "comply",
    "user": "users",
    "consent": "users",
    "tags": "users",
    "critique": "users",
    "experiments": "experiments",
    "weights": "weights",
    "report": "report",
    "statistics": "statistics",
    "export": "export",
    "serve": "serve",
    "simulate": "simulate",
    "bench": "bench",
    "doctor": "doctor",
}


class Commands(Mapping[str, click.Command]):
    """The commands by name, each of which is imported when it is used."""

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"nearline.cli.{MODULES[name]}")
        # `import` is a keyword of Python.
        command: click.Command = getattr(module, f"{name}_" if iskeyword(name) else name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class CommandGroup(click.Group):
    """A group of commands that converts the engine's errors to messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command named in `ctx`."""
        try:
            return super().invoke(ctx)
        except NearlineError as error:
            message = for_command_line(str(error))
            raise click.ClickException(printable(message, keep="\n")) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            raise  # click exits without a message if the reader of a pipe has closed it
        except OSError as error:
            message = f"{error}; check the permissions of the path and the free space of the disk"
            raise click.ClickException(printable(message)) from error

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order in which a new user needs them, not alphabetically."""
        return list(self.commands)


@click.group(
    "nearline",
    cls=CommandGroup,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("nearline demo", "nearline import --store shop/ events.csv --items items.csv"),
)
@click.version_option(package_name="nearline", message="nearline %(version)s")
def main() -> None:
    """Nearline: real-time, explainable recommendations.

    Start with `nearline demo`. For your own data: import, train, then recommend or serve.
    `nearline COMMAND --help` shows the options and an example of a command.
    """
