"""The command that serves a store over HTTP."""

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import (
    default_repeats,
    encoder_option,
    example,
    include_seen_option,
    json_option,
    llm_config,
    llm_model_option,
    llm_url_option,
    optional_store_option,
    repeats_named,
)
from nearline.cli.output import write_json
from nearline.cli.ranges import ByteSize, IntRange
from nearline.cli.reading import weights_option
from nearline.cli.seal import master_key_option
from nearline.cli.security_options import security_options, take_security
from nearline.cli.serve_workers import take_roles, workers_option
from nearline.cli.settings import (
    command_config,
    config_file,
    config_option,
    is_given,
    server_limits,
)
from nearline.cli.wording import for_command_line
from nearline.common.budget import LEAST_BYTES, MOST_BYTES
from nearline.errors import NearlineError

if TYPE_CHECKING:
    from nearline.config import Config
    from nearline.engine import Recommender
    from nearline.server import Limits

port_option = click.option(
    "--port", type=IntRange(1, 65_535), default=8080, show_default=True, help="TCP port."
)


@click.command(
    epilog=example(
        "nearline serve --store shop/ --port 8080",
        "nearline serve --stores tenants/ --most-open 20",
        "nearline serve --store shop/ --workers 2",
        "NEARLINE_API_KEY=... nearline serve --store shop/ --host 0.0.0.0",
        "NEARLINE_LLM_KEY=... nearline serve --store shop/ --llm-url URL --llm-model NAME",
    )
)
@optional_store_option
@click.option(
    "--stores",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of several stores, one in each subfolder: /v1/ns/NAME/... is the store NAME.",
)
@click.option(
    "--most-open",
    type=IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="With --stores: number of stores that are open at once; others are closed.",
)
@workers_option
@port_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--api-key",
    envvar="NEARLINE_API_KEY",
    show_envvar=True,
    help="API key that requests must send. Prefer the environment variable: other users of this "
    "machine can read command lines.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="Name by which clients reach the server, such as shop.example behind a proxy. Can be "
    "given several times.",
)
@click.option(
    "--memory",
    type=ByteSize(LEAST_BYTES, MOST_BYTES),
    metavar="SIZE",
    help="Memory budget, such as 2GB: bounds requests, answers, caches and jobs.  [default: half "
    "of the memory of the machine]",
)
@click.option(
    "--ingest",
    "sources",
    metavar="SOURCE",
    multiple=True,
    help="Topic of Kafka or file of JSON lines to read meanwhile, as for `nearline ingest`. Can be "
    "given several times.",
)
@click.option(
    "--ingest-mapping",
    metavar="NAME|FILE",
    help="With --ingest: meaning of the messages: segment, snowplow, or a .toml or .json file.",
)
@click.option(
    "--ingest-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="With --ingest: settings of the Kafka client, one name=value a line.",
)
@security_options
@encoder_option
@weights_option
@include_seen_option
@click.option(
    "--similar-users",
    type=IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Minimum number of users of an item for lists of similar items.",
)
@click.option(
    "--seal",
    is_flag=True,
    help="Seal a new store, and refuse one that is not sealed: nearline seal converts it.",
)
@master_key_option
@llm_url_option
@llm_model_option
@config_option
@json_option
def serve(
    store: Path | None,
    stores: Path | None,
    most_open: int,
    workers: int | None,
    port: int,
    host: str,
    api_key: str | None,
    allow_hosts: tuple[str, ...],
    memory: int | None,
    sources: tuple[str, ...],
    ingest_mapping: str | None,
    ingest_config: Path | None,
    encoder: str | None,
    weights: dict[str, float],
    include_seen: bool,
    similar_users: int,
    seal: bool,
    master_key: str | None,
    llm_url: str | None,
    llm_model: str | None,
    as_json: bool,
    **security: Any,
) -> None:
    """Serve a store over HTTP until Ctrl-C or SIGTERM.

    By default the server accepts connections from this machine only; any other --host needs an
    API key, or keys that `nearline keys` made. A store that does not exist is created, and learns
    from the events that it receives. A language model, if named, is used for requests with rerank
    or words. Use the encoder that the store was trained with. --include-seen applies to the lists
    by which trainings are judged.
    --repeats is also the default of requests.

    With --workers, N processes answer lists from memory, and one process writes.

    With --stores, each subfolder is a store, which its first request opens; PUT /v1/ns/NAME creates
    one.
    """
    several = several_stores(store, stores)
    gc.disable()  # the server enables it once the store is loaded
    try:
        from nearline.engine import Recommender
        from nearline.sealing import DEFAULT_SOURCE, SOURCE_VARIABLE

        given = _given_settings(
            encoder=encoder,
            memory=memory,
            similar_users=similar_users,
            include_seen=include_seen,
            llm=llm_config(llm_url, llm_model),
        )
        if seal:
            given["seal"] = master_key or DEFAULT_SOURCE
        elif master_key:
            os.environ[SOURCE_VARIABLE] = master_key  # opens the stores that are sealed
        file = config_file()

        def config(folder: Path | None) -> "Config":
            reserve = not several
            return command_config(folder, file=file, weights=weights, reserve=reserve, **given)

        single = None if several else config(store)
        settings = None
        if sources and several:
            raise click.UsageError("--ingest needs a single store: use --store, not --stores")
        if ingest_config is not None:
            from nearline.ingest.source_urls import read_settings

            settings = read_settings(ingest_config)

        secured = take_security(security, several or store)
        pool, reader = take_roles(workers, several, secured)

        def open_single() -> "Recommender":
            engine = Recommender(store, config=single)
            try:
                for source in () if reader else sources:
                    engine.ingest_in_background(source, mapping=ingest_mapping, settings=settings)
            except BaseException:
                engine.close()
                raise
            return engine

        limits = server_limits(None if several else store, memory)
        run_server(
            None if several else open_single,
            several=several,
            most_open=most_open,
            open_store=lambda folder: Recommender(folder, config=config(folder)),
            host=host,
            port=port,
            api_key=api_key,
            allow_hosts=allow_hosts,
            limits=limits,
            as_json=as_json,
            security=secured | {"workers": pool, "reader": reader},
        )
    finally:
        gc.enable()


def _given_settings(*, include_seen: bool, llm: object, **options: Any) -> dict[str, Any]:
    """Return the settings of the engine that options name, which replace those of the file."""
    given = {name: value for name, value in options.items() if is_given(name)}
    if include_seen or is_given("include_seen"):
        given["exclude_seen"] = not include_seen
    if repeats_named():
        given |= {"exclude_seen": not include_seen, "repeats": default_repeats()}
    if llm:
        given["llm"] = llm
    return given


def several_stores(store: Path | None, stores: Path | None) -> Path | None:
    """Return the folder of several stores; raise a usage error unless one of both is named."""
    if stores is not None:
        source = click.get_current_context().get_parameter_source("store")
        if store is not None and source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--store and --stores exclude each other: name one")
    elif store is None:
        raise click.UsageError(
            "Missing option '--store' (env var: 'NEARLINE_STORE'), or '--stores' for several "
            "stores."
        )
    return stores


def run_server(
    open_engine: "Callable[[], Recommender] | None",
    *,
    host: str,
    port: int,
    api_key: str | None,
    as_json: bool,
    allow_hosts: "Sequence[str]" = (),
    limits: "Limits | None" = None,
    several: Path | None = None,
    most_open: int = 100,
    open_store: "Callable[[Path], Recommender] | None" = None,
    security: "dict[str, Any] | None" = None,
    on_listening: "Callable[[], object] | None" = None,
) -> None:
    """Serve until a signal arrives; print the address to standard output.

    `on_listening` is called once the server accepts connections.
    """
    from nearline import server
    from nearline.common.memory import keep_little

    keep_little()

    def announce(line: str) -> None:
        if as_json:
            write_json({"listening": line.removeprefix("Listening on ")})
        else:
            click.echo(f"{line}  (dashboard: /ui, API: /docs, stop with Ctrl-C)")
        if on_listening is not None:
            on_listening()

    try:
        finished = server.serve(
            open_engine,
            host,
            port,
            api_key=api_key,
            limits=limits,
            allow_hosts=allow_hosts,
            announce=announce,
            stores=None
            if several is None or open_store is None
            else server.Stores(folder=several, open_store=open_store, most_open=most_open),
            **(security or {}),
        )
    except (NearlineError, OSError) as error:
        # Like all other lines of the server on standard error.
        log = server.JsonLog(sys.stderr, time.time)
        log.write("error", "the server ended", reason=for_command_line(str(error)))
        raise click.exceptions.Exit(1) from error
    # A thread that is still opening the store cannot be interrupted, and a reader of a server with
    # several processes has nothing left to do, while the writer waits for it.
    if not finished or (security or {}).get("reader") is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
