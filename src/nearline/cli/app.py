"""The command group, and how every command ends.

Exit codes: 0 done; 1 failed, with one message on standard error; 2 wrong use; 130 interrupted.

Modules of this package import what is heavy inside functions, so that ``nearline --help`` and
wrong uses answer at once.
"""

from typing import Any

import click

from nearline.cli.ask import explain, recommend, similar
from nearline.cli.bench import bench
from nearline.cli.compare import compare
from nearline.cli.demo import demo
from nearline.cli.doctor import doctor
from nearline.cli.evaluate import evaluate
from nearline.cli.export import export
from nearline.cli.learn import import_, train
from nearline.cli.models import models
from nearline.cli.options import example
from nearline.cli.output import printable
from nearline.cli.replay import replay
from nearline.cli.serve import serve
from nearline.cli.snapshots import promote, rollback, snapshots
from nearline.cli.wording import for_command_line
from nearline.errors import NearlineError

INTERRUPTED = 130


class Door(click.Group):
    """A group whose commands turn the errors of the engine into a message and an exit code."""

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
            raise  # whoever read the output has gone: click ends quietly
        except OSError as error:
            message = f"{error}; see that the path can be read and written and the disk has room"
            raise click.ClickException(printable(message)) from error

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names in the order in which one meets them, not in that of the alphabet."""
        return list(self.commands)


@click.group(
    "nearline",
    cls=Door,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("nearline demo", "nearline import --store shop/ events.csv --items items.csv"),
)
@click.version_option(package_name="nearline", message="nearline %(version)s")
def main() -> None:
    """Nearline: recommendations that change with the next click and say why.

    Start with `nearline demo`. With data of your own: import, train, then recommend or serve.
    `nearline COMMAND --help` has an example of each.
    """


for _command in (
    *(demo, import_, models, train, evaluate, compare, replay),
    *(snapshots, promote, rollback),
    *(recommend, similar, explain, export, serve, bench, doctor),
):
    main.add_command(_command)
