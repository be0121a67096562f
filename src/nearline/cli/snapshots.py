"""Commands for snapshots: list them, promote one, roll back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli.options import check_store, example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table
from nearline.common.counts import count

if TYPE_CHECKING:
    from nearline.deployment.versions import Version

# Metrics to show, in order of preference: on held-out data, then on validation data.
SHOWN = ("held_out_ndcg@10", "validation_ndcg@10")


@click.command(epilog=example("nearline snapshots --store shop/"))
@store_option
@json_option
def snapshots(store: Path, as_json: bool) -> None:
    """List the snapshots of a store, oldest first.

    This works while a server has the store open.
    """
    from nearline.deployment.versions import versions_of_folder

    check_store(store)
    found = versions_of_folder(store)
    if as_json:
        write_json({"store": str(store), "snapshots": found})
        return
    header = ["id", "", "model", "written", "records", "items", "NDCG@10"]
    write_table([header, *(_row(version) for version in found)], numbers=[4, 5, 6])


@click.command(epilog=example("nearline promote --store shop/ 0123456789abcdef"))
@click.argument("snapshot_id", metavar="ID")
@store_option
@json_option
def promote(snapshot_id: str, store: Path, as_json: bool) -> None:
    """Promote the snapshot ID, whatever its metrics."""
    with open_store(store, call=f"POST /v1/snapshots/{snapshot_id}:promote") as engine:
        _report(engine.versions.promote(snapshot_id), as_json)


@click.command(epilog=example("nearline rollback --store shop/"))
@store_option
@json_option
def rollback(store: Path, as_json: bool) -> None:
    """Promote the previously promoted snapshot again."""
    with open_store(store, call="POST /v1/snapshots:rollback") as engine:
        _report(engine.versions.rollback(), as_json)


def _report(version: "Version", as_json: bool) -> None:
    if as_json:
        write_json(version)
    else:
        click.echo(f"Model {version.id} is active, trained on {count(version.offset, 'record')}.")


def _row(version: "Version") -> list[str]:
    written = "" if version.written is None else _date(version.written)
    metric = next((version.metrics[name] for name in SHOWN if name in version.metrics), None)
    return [
        version.id,
        "active" if version.serving else "promoted" if version.promoted else "",
        version.model,
        written,
        f"{version.offset:,}",
        f"{version.items:,}",
        "" if metric is None else f"{metric:.4f}",
    ]


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
