"""The command group, its error handling and exit codes.

Exit codes: 0 for success, 1 for failure with a message on standard error, 2 for wrong usage, 130
after an interrupt (Ctrl-C).

Modules of this package import libraries that load slowly inside functions, so that
``nearline --help`` and messages about wrong usage appear quickly.
"""

from typing import Any

import click

from nearline.cli.around import audience, items, popular, search, trending, users
from nearline.cli.ask import explain, recommend, similar
from nearline.cli.audit import audit
from nearline.cli.backup import archive, backup, restore
from nearline.cli.bench import bench
from nearline.cli.compare import compare
from nearline.cli.comply import comply
from nearline.cli.definitions import rules, scenarios
from nearline.cli.demo import demo
from nearline.cli.doctor import doctor
from nearline.cli.evaluate import evaluate
from nearline.cli.experiments import experiments
from nearline.cli.export import export
from nearline.cli.info import info
from nearline.cli.ingest import ingest, quarantine
from nearline.cli.keys import keys
from nearline.cli.learn import import_, train
from nearline.cli.models import models
from nearline.cli.ope import ope
from nearline.cli.options import example
from nearline.cli.output import printable
from nearline.cli.playground import playground
from nearline.cli.replay import replay
from nearline.cli.report import report
from nearline.cli.retain import retain
from nearline.cli.seal import seal
from nearline.cli.serve import serve
from nearline.cli.settings import config
from nearline.cli.simulate import simulate
from nearline.cli.snapshots import promote, rollback, snapshots
from nearline.cli.statistics import statistics
from nearline.cli.users import consent, critique, tags, user
from nearline.cli.weights import weights
from nearline.cli.wording import for_command_line
from nearline.errors import NearlineError

INTERRUPTED = 130


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
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("nearline demo", "nearline import --store shop/ events.csv --items items.csv"),
)
@click.version_option(package_name="nearline", message="nearline %(version)s")
def main() -> None:
    """Nearline: real-time, explainable recommendations.

    Start with `nearline demo`. For your own data: import, train, then recommend or serve.
    `nearline COMMAND --help` shows the options and an example of a command.
    """


for _command in (
    *(demo, playground, import_, ingest, quarantine),
    *(models, train, evaluate, compare, replay, ope),
    *(info, snapshots, promote, rollback, scenarios, rules, config, retain, seal),
    *(recommend, similar, search, popular, trending, audience, explain, items, users),
    *(backup, restore, archive, keys, audit, comply),
    *(user, consent, tags, critique, experiments, weights, report, statistics, export),
    *(serve, simulate, bench, doctor),
):
    main.add_command(_command)
