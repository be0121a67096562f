"""Options and roles of a server of several processes."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.ranges import IntRange

if TYPE_CHECKING:
    from nearline.server import ReaderRole, WorkerPool

workers_option = click.option(
    "--workers",
    type=IntRange(1, 64),
    metavar="N",
    help="Number of reader processes that share the port and answer lists, beside the process that "
    "writes. Each holds histories and counters in its own memory and maps the same model. "
    "[default: one process does everything]",
)


def take_roles(
    workers: int | None, several: Path | None, security: dict[str, Any]
) -> "tuple[WorkerPool | None, ReaderRole | None]":
    """Return the readers to start, and the role of this process if it is one of them.

    `security`, the arguments of `server.serve`, is changed: rates are divided among the readers.
    """
    if workers is None:
        return None, None
    from msgspec.structs import replace

    from nearline.server import WorkerPool, reader_role
    from nearline.server.workers import ROLE

    settings = security["security"]
    if several is not None:
        raise click.UsageError("--workers needs a single store: use --store, not --stores")
    if settings.audit:
        raise click.UsageError("--workers and --audit exclude each other: one process audits")
    if settings.pseudonyms:
        raise click.UsageError("--workers and --pseudonyms exclude each other: one process hashes")
    role = reader_role(os.environ)
    os.environ.pop(ROLE, None)  # not for processes that this one starts
    if role is None:
        # The readers have checked the addresses; here, all requests come through one socket.
        security["security"] = replace(settings, address_rate=None)
        return WorkerPool(workers, [sys.executable, "-m", "nearline.cli", *sys.argv[1:]]), None
    rates = {
        name: rate / role.number
        for name in ("address_rate", "key_rate")
        if (rate := getattr(settings, name)) is not None
    }
    security["security"] = replace(settings, **rates)
    return None, role
