"""The command that evaluates a policy on the log of another one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli.options import example, json_option, optional_store_option, seed_option
from nearline.cli.output import write_json, write_table
from nearline.cli.served_lists import read_served

if TYPE_CHECKING:
    from nearline.evaluation.off_policy import Estimate, PolicyReport, PolicyValue

_FIELDS = (
    *("item_id", "propensity", "reward", "recommendation_id"),
    *("user_id", "position", "policy", "variant", "context"),
)


def _columns(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    columns = dict(pair.partition("=")[::2] for pair in given)
    if wrong := [name for name, header in columns.items() if name not in _FIELDS or not header]:
        raise click.BadParameter(
            f"{wrong[0]!r} names no field; write FIELD=COLUMN with one of {', '.join(_FIELDS)}"
        )
    return columns


def _names(_ctx: click.Context, _parameter: click.Parameter, given: str | None) -> object:
    return None if given is None else [name.strip() for name in given.split(",")]


@click.command(
    epilog=example(
        "nearline ope log.parquet --policy uniform",
        "nearline ope random.csv --policy thompson.csv --column reward=click",
        "nearline ope log.csv --policy column:new_probability --estimators snips,ips --json",
        "nearline ope --store shop/ --policy greedy --scenario home",
    )
)
@click.argument("log", required=False)
@optional_store_option
@click.option(
    "--policy",
    required=True,
    metavar="POLICY",
    help="The policy to evaluate: uniform; column:NAME, a column of LOG with the probability of "
    "the shown item; greedy, with --store: the same scores without exploration; a file with the "
    "columns item_id, probability and perhaps position; or a file with a log of the policy.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    callback=_columns,
    metavar="FIELD=COLUMN",
    help="Column of LOG to read as this field, for example reward=click; can be given several "
    "times.",
)
@click.option(
    "--estimators",
    callback=_names,
    metavar="NAME,...",
    help="Estimators to show: ips, snips, dm, dr, sndr, switch-dr, dros. Default: all that the "
    "policy allows.",
)
@click.option(
    "--lists",
    type=click.Choice(("independent", "cascade")),
    default="independent",
    show_default=True,
    help="Whether the reward of a line depends on its own item and position only, or also on the "
    "lines above it.",
)
@click.option(
    "--metric",
    metavar="KIND",
    help="Kind of event that is rewarded, with --store. Default: click, which includes views, "
    "opens and plays.",
)
@click.option(
    "--scenario", metavar="NAME", help="Only lists of this scenario that explore, with --store."
)
@click.option("--since", metavar="TIME", help="Only lists served from this time on, with --store.")
@click.option("--until", metavar="TIME", help="Only lists served before this time, with --store.")
@seed_option
@json_option
def ope(
    log: str | None,
    store: Path | None,
    policy: str,
    columns: dict[str, str],
    estimators: list[str] | None,
    lists: str,
    metric: str | None,
    scenario: str | None,
    since: str | None,
    until: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Estimate what another policy would have earned, from a log with propensities.

    LOG is a file with one row per shown item: item_id, propensity (probability with which the item
    was shown) and reward, and if there are any recommendation_id, user_id and position. Files of
    the Open Bandit Dataset are read as they are.

    With --store instead of LOG, the lists are those that the store served and that explore: the
    reward of a line is 1 if it led to an event. This works while a server has the store open.

    If the log says too little about the policy, the command says so instead of drawing a
    conclusion.
    """
    from nearline.evaluation.off_policy import ESTIMATORS, evaluate_log, evaluate_served
    from nearline.schema.experiments import CLICK

    chosen = {"--metric": metric, "--scenario": scenario, "--since": since, "--until": until}
    names = estimators or ESTIMATORS
    source = click.get_current_context().get_parameter_source("store")
    if log is not None:  # NEARLINE_STORE may be set
        if wrong := [name for name, value in chosen.items() if value is not None]:
            raise click.UsageError(f"{wrong[0]} is only possible with --store, without LOG")
        if source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("LOG and --store exclude each other; give one of them")
        report = evaluate_log(
            log, policy, columns=columns, estimators=names, lists=lists, seed=seed
        )
    elif store is None:
        raise click.UsageError("give LOG, a file with logged rows, or --store DIR")
    elif columns:
        raise click.UsageError("--column is only possible with LOG")
    else:
        attributed, _, last = read_served(store, since, until)
        report = evaluate_served(
            attributed,
            policy,
            metric=metric or CLICK,
            until=last,
            scenario=scenario,
            estimators=names,
            lists=lists,
            seed=seed,
        )
    if as_json:
        write_json(report.as_dict())
    else:
        write_report(report)


def write_report(report: "PolicyReport") -> None:
    """Write the estimates, the effective sample size and the conclusion as text."""
    total = report.total
    click.echo(
        f"{total.rows:,} rows, effective sample size {total.effective:,.0f} "
        f"({total.effective / total.rows:.1%}), mean weight {report.mean_weight:.3f}."
    )
    click.echo("Reward of a row; [95 % interval]. The interval of dm excludes the model's error.\n")
    header = ["policy", "estimator", "reward", "interval"]
    rows = [["logging", "observed", *_numbers(total.logged)]]
    for one in total.estimates:
        rows.append(["target", one.name, *_numbers(one)])
    write_table([header, *rows], numbers=(2,))
    if report.positions:
        click.echo()
        rows = _position_rows(report.positions)
        write_table(rows, numbers=range(len(rows[0])))
    click.echo()
    for warning in report.warnings:
        click.echo(f"Warning: {warning}.")
    if report.conclusion is None:
        click.echo("No conclusion is drawn.")
    else:
        click.echo(f"Compared to the logging policy: {report.conclusion}.")


def _position_rows(positions: "list[PolicyValue]") -> list[list[str]]:
    names = [one.name for one in positions[0].estimates]
    rows = [["position", "rows", "effective", "logged", *names]]
    for part in positions:
        values = [part.logged.value, *(one.value for one in part.estimates)]
        sizes = [str(part.position), f"{part.rows:,}", f"{part.effective:,.0f}"]
        rows.append([*sizes, *(f"{value:.4g}" for value in values)])
    return rows


def _numbers(one: "Estimate") -> list[str]:
    return [f"{one.value:.4g}", f"[{one.low:.4g}, {one.high:.4g}]"]
