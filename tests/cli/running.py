"""Runs commands in this process and in others."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from nearline.cli import main

WAIT = 120.0


def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process; unexpected exceptions are raised."""
    given = [str(argument) for argument in arguments]
    result = CliRunner().invoke(main, given, env={"NEARLINE_STORE": None, **(env or {})})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(*arguments: str | Path) -> Any:
    """Run a command that must succeed with ``--json``, and return its decoded output."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@contextmanager
def started(*arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a command in a separate process, in which warnings are errors too."""
    command = [sys.executable, "-m", "nearline.cli", *map(str, arguments)]
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()
