"""Processes that are forked from one that has loaded Nearline.

A new interpreter spends two seconds on imports and on the compiler before it does anything. Tests
of what a process does later, such as stop, crash or write, need not wait for that.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import chdir
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).parents[1]


def forks() -> ForkServerContext:
    """Return the context whose processes are forked from one that has loaded Nearline."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    with chdir(ROOT):  # where the process finds the module to load
        forkserver.ensure_running()
    return context


class Forked:
    """A process with the interface of `subprocess.Popen`, whose output goes to a file.

    Warnings are errors in it.

    Parameters
    ----------
    output : Path
        File for the standard output and the standard error.
    function : callable
        What the process does, a function of a module.
    *arguments : object
        Arguments of the function.
    """

    def __init__(self, output: Path, function: Callable[..., None], *arguments: object) -> None:
        self._process = forks().Process(
            target=_call, args=(output, dict(os.environ), function, arguments), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once the process has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0.0)
        return self._process.exitcode


def run_code(code: str, *arguments: object) -> int:
    """Run a program as ``python -c`` does, but forked; return the exit code."""
    with NamedTemporaryFile() as output:
        exit_code = Forked(Path(output.name), _run_code, code, *map(str, arguments)).wait()
        print(output.read().decode())
    return exit_code


def _run_code(code: str, *arguments: str) -> None:
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def _call(
    output: Path,
    environment: dict[str, str],
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    # The process that forked this one began with the environment of some test before.
    os.environ.clear()
    os.environ.update(environment)
    sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for standard in (1, 2):
        os.dup2(sink, standard)
    os.close(sink)
    warnings.simplefilter("error")
    function(*arguments)
