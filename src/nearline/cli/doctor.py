"""The command that checks an installation and a store, and suggests fixes."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

import click

from nearline.cli.options import example, json_option, open_store
from nearline.cli.output import write_json, write_table
from nearline.common.compiler_cache import cache_folders, is_empty
from nearline.common.counts import count
from nearline.errors import NearlineError, StoreInUse

PACKAGES = ("nearline", "numpy", "numba", "pyarrow", "litestar", "granian")
# Older versions can corrupt a write-ahead log when two connections checkpoint it at once.
SAFE_SQLITE = (3, 51, 3)
LITTLE_DISK = 1 << 30


class Check(NamedTuple):
    """Result of one check: its name, status, findings and, if necessary, what to do."""

    name: str
    status: Literal["ok", "warning", "failed"]
    found: str
    next_step: str = ""


@click.command(epilog=example("nearline doctor --store shop/"))
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    envvar="NEARLINE_STORE",
    show_envvar=True,
    metavar="DIR",
    help="Folder of a store to check as well.",
)
@click.option(
    "--compile",
    "compile_now",
    is_flag=True,
    help="Compile the kernels first, so that no later command waits for it.",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, store: Path | None, compile_now: bool, as_json: bool) -> None:
    """Check the installation and a store, and suggest fixes.

    Checks versions, the compiler's cache, SQLite, the disk and a store. The exit code is 1 if a
    check failed; warnings do not count.
    """
    if compile_now:
        from nearline.cli.precompile import compile_kernels

        click.echo("Compiling the kernels takes about a minute, once on a machine.", err=True)
        compile_kernels()
    checks = [*_machine(store)] + ([_store(store)] if store else [])
    failed = any(check.status == "failed" for check in checks)
    if as_json:
        write_json({"ok": not failed, "checks": [check._asdict() for check in checks]})
    else:
        rows = [[check.status, check.name, check.found] for check in checks]
        write_table([["status", "check", "found"], *rows])
        for check in checks:
            if check.next_step:
                click.echo(f"{check.name}: {check.next_step}")
    ctx.exit(1 if failed else 0)


def _machine(store: Path | None) -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    system = f"{platform.platform()}, {count(cores or 1, 'core')}"
    yield Check("python", "ok", f"{platform.python_version()} on {system}")
    yield _packages()
    yield _sqlite()
    yield _compiler_cache()
    yield _disk(store)


def _packages() -> Check:
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        step = (
            f"install again: {', '.join(missing)} missing (pip install --force-reinstall nearline)"
        )
        return Check("packages", "failed", ", ".join(found), step)
    return Check("packages", "ok", ", ".join(found))


def _sqlite() -> Check:
    import apsw

    found = apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")) < SAFE_SQLITE:
        safe = ".".join(str(part) for part in SAFE_SQLITE)
        step = f"it can damage a log; SQLite {safe} or newer is needed: pip install -U apsw"
        return Check("sqlite", "failed", found, step)
    return Check("sqlite", "ok", found)


def _compiler_cache() -> Check:
    """Check whether a cache folder of numba is writable, in the order in which numba tries them."""
    folders = cache_folders()
    for folder in folders:
        if _writable(folder):
            return Check("compiler cache", "ok", str(folder))
    if not is_empty():
        found = f"{', '.join(map(str, folders))}: read-only, with compiled kernels"
        return Check("compiler cache", "ok", found)
    return Check(
        "compiler cache",
        "warning",
        f"{', '.join(map(str, folders))}: not writable",
        "every start compiles for several seconds; set NUMBA_CACHE_DIR to a writable folder",
    )


def _disk(store: Path | None) -> Check:
    folder = _existing(store or Path.cwd())
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):,.1f} GiB free at {folder}"
    if free < LITTLE_DISK:
        return Check("disk", "warning", found, "free space: events are refused if the disk is full")
    return Check("disk", "ok", found)


def _store(folder: Path) -> Check:
    try:
        with open_store(folder) as engine:
            found = (
                f"{folder}: {count(engine.offset, 'record')}, {count(engine.n_users, 'user')}, "
                f"{count(engine.n_items, 'item')}, model {engine.model_id}"
            )
            trained = engine.model_id != "untrained"
    except StoreInUse as error:
        return Check("store", "warning", f"{folder} is in use and was not opened", str(error))
    except NearlineError as error:
        return Check("store", "failed", f"{folder} cannot be opened", str(error))
    if not trained:
        step = f"lists contain popular items only; train a model: nearline train --store {folder}"
        return Check("store", "warning", found, step)
    return Check("store", "ok", found)


def _existing(folder: Path) -> Path:
    """Return `folder`, or its nearest ancestor that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _writable(folder: Path) -> bool:
    """Try to write, since permissions do not show that a file system is read-only."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            return True
    except OSError:
        return False
