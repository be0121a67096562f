"""Commands that read Kafka topics and files of lines, and show messages that are no events."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import printable, progress_bars, write_json, write_table
from nearline.cli.ranges import IntRange
from nearline.cli.settings import command_config, config_option
from nearline.common.counts import count

if TYPE_CHECKING:
    from nearline.ingest.connector import Connector, Ingested

# Characters of a message that are shown in a table.
_SHOWN = 80


def _paths(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> object:
    paths = {}
    for pair in given:
        field, equals, path = pair.partition("=")
        if not (field and equals and path):
            raise click.BadParameter(
                f"{pair!r} is not FIELD=PATH; for example, write item_id=properties.product_id"
            )
        paths[field] = path
    return paths or None


mapping_option = click.option(
    "--mapping",
    metavar="NAME|FILE",
    help="Meaning of the messages: segment, snowplow, or a .toml or .json file. Default: messages "
    "have the fields of events.",
)
map_option = click.option(
    "--map",
    "fields",
    multiple=True,
    callback=_paths,
    metavar="FIELD=PATH",
    help="Where a field of an event is in a message, such as item_id=product.sku, "
    "item_id=products[].sku or user_id=userId|anonymousId. Can be given several times.",
)
source_option = click.option(
    "--source", metavar="NAME", help="Only messages of this source.  [default: of all sources]"
)


@click.command(
    epilog=example(
        "nearline ingest kafka://127.0.0.1:9092/events --store shop/",
        "nearline ingest kafka://b1:9092,b2:9092/clicks --store shop/ --map item_id=product.sku",
        "nearline ingest kafka://b1:9092/tracks --store shop/ --mapping segment --until-end",
        "nearline ingest 'logs/*.ndjson' --store shop/ --follow",
    )
)
@click.argument("source")
@store_option
@map_option
@mapping_option
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the source, under which its positions are stored.  [default: kafka:TOPIC or "
    "file:FILE]",
)
@click.option(
    "--start",
    type=click.Choice(("beginning", "end")),
    default="beginning",
    show_default=True,
    help="Where a topic is first read.",
)
@click.option(
    "--follow/--until-end",
    default=None,
    help="Wait for further messages, or end when all are read.  [default: --follow for Kafka, "
    "--until-end for files]",
)
@click.option(
    "--restart", is_flag=True, help="Begin at --start again. Stored events are not stored again."
)
@click.option(
    "--client-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Settings of the Kafka client, one name=value a line, such as security.protocol=SASL_SSL.",
)
@click.option(
    "--batch",
    type=IntRange(1, 100_000),
    default=5_000,
    show_default=True,
    help="Maximum number of messages that are stored together.",
)
@config_option
@json_option
def ingest(
    source: str,
    store: Path,
    fields: dict[str, str] | None,
    mapping: str | None,
    name: str | None,
    start: str,
    follow: bool | None,
    restart: bool,
    client_config: Path | None,
    batch: int,
    as_json: bool,
) -> None:
    """Read events from SOURCE into a store, each message exactly once.

    SOURCE is kafka://HOST:PORT/TOPIC, or a file with one JSON object a line (also with .gz), or a
    quoted pattern of such files. The store is created if it does not exist. The positions are
    stored with the events, so the next call continues where this one ended, also after a crash.
    Messages that are no events go to the quarantine: see `nearline quarantine --help`. Ctrl-C and
    SIGTERM end it.
    """
    from nearline.engine import Recommender
    from nearline.ingest.ready_maps import mapper_of
    from nearline.ingest.source_urls import open_source, read_settings

    settings = None if client_config is None else read_settings(client_config)
    mapper_of(mapping, "", fields)
    # A wrong source is found before the store is created.
    opened = open_source(source, name=name, start=start, follow=follow, settings=settings)
    config = command_config(store)
    with Recommender(store, config=config) as engine, progress_bars() as progress:
        with _stopped_by_signals() as stop:
            done = engine.ingest(
                opened,
                mapping=mapping,
                fields=fields,
                follow=follow,
                restart=restart,
                batch=batch,
                learn=False,
                started=stop.append,
                progress=progress,
            )
        waiting = engine.quarantine.counts()
    if as_json:
        write_json({"store": str(store), **asdict(done)})
        return
    _show(done)
    if waiting:
        click.echo(f"Next: nearline quarantine list --store {printable(str(store))}")


@click.group(
    epilog=example(
        "nearline quarantine list --store shop/",
        "nearline quarantine replay --store shop/ --map item_id=product.sku",
        "nearline quarantine drop --store shop/ --source kafka:events",
    )
)
def quarantine() -> None:
    """Show, replay or drop messages that `nearline ingest` could not convert to events."""


@quarantine.command("list", epilog=example("nearline quarantine list --store shop/ --limit 20"))
@store_option
@source_option
@click.option(
    "--limit",
    type=IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="Maximum number of messages.",
)
@json_option
def list_(store: Path, source: str | None, limit: int, as_json: bool) -> None:
    """List messages with their position and the reason; also while a server has the store open."""
    from nearline.cli.options import check_store
    from nearline.deployment.sealing import reading_seal
    from nearline.ingest.quarantine import Quarantine

    check_store(store)
    with reading_seal(store) as seal:
        table = Quarantine(store, seal)
        try:
            counts, found = table.counts(), table.messages(source, limit=limit)
        finally:
            table.close()
    if as_json:
        messages = [
            {
                **one._asdict(),
                "key": None if one.key is None else one.key.decode(errors="replace"),
                "value": one.value.decode(errors="replace"),
            }
            for one in found
        ]
        total = sum(number for name, _, number in counts if source in (None, name))
        write_json({"store": str(store), "total": total, "messages": messages})
        return
    rows = [[f"{number:,}", name, why] for name, why, number in counts if source in (None, name)]
    write_table([["messages", "source", "reason"], *rows], numbers=[0])
    shown = [
        [f"{one.source} {one.partition}", f"{one.position:,}", _start(one.value)] for one in found
    ]
    write_table([["source and partition", "position", "message"], *shown], numbers=[1])


@quarantine.command(
    epilog=example("nearline quarantine replay --store shop/ --map item_id=product.sku")
)
@store_option
@source_option
@map_option
@mapping_option
@json_option
def replay(
    store: Path,
    source: str | None,
    fields: dict[str, str] | None,
    mapping: str | None,
    as_json: bool,
) -> None:
    """Convert the messages again, with another mapping, and store those that are events now."""
    with open_store(store) as engine, progress_bars() as progress:
        done = engine.replay_quarantine(source, mapping=mapping, fields=fields, progress=progress)
    if as_json:
        write_json({"store": str(store), **asdict(done)})
        return
    _show(done)


@quarantine.command(epilog=example("nearline quarantine drop --store shop/ --source kafka:events"))
@store_option
@source_option
@json_option
def drop(store: Path, source: str | None, as_json: bool) -> None:
    """Remove messages for good."""
    with open_store(store) as engine:
        dropped = engine.quarantine.drop(source)
    if as_json:
        write_json({"store": str(store), "dropped": dropped})
        return
    click.echo(f"{count(dropped, 'message')} dropped.")


def _show(done: "Ingested") -> None:
    click.echo(
        f"{count(done.messages, 'message')} read from {printable(done.source)}: "
        f"{count(done.events, 'event')} stored, {done.duplicates:,} known, {done.skipped:,} "
        f"messages skipped, {done.quarantined:,} in quarantine."
    )
    if done.forgotten:
        click.echo(f"{count(done.forgotten, 'event')} of erased users not stored.")
    left = sum(done.lag.values())
    if left:
        click.echo(f"{left:,} {done.unit} are not read yet.")


def _start(value: bytes) -> str:
    text = value[: 4 * _SHOWN].decode(errors="replace")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class _Stop(list[Any]):
    """Connectors to stop; a signal that arrives before the connector stops it too."""

    arrived = False

    def append(self, connector: "Connector") -> None:
        super().append(connector)
        if self.arrived:
            connector.stop()


@contextmanager
def _stopped_by_signals() -> Iterator[_Stop]:
    """Return a context in which SIGTERM and SIGINT stop the connector that is added."""
    stop = _Stop()

    def handle(_number: int, _frame: object) -> None:
        stop.arrived = True
        for connector in stop:
            connector.stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
