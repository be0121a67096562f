"""Processes that are forked from one that has loaded Nearline.

A new interpreter spends two seconds on imports and on the compiler before it does anything. Tests
of what a process does later, such as stop, crash or write, need not wait for that.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import chdir
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, Any

ROOT = Path(__file__).parents[1]
NOTHING = Path(os.devnull)


def forks() -> ForkServerContext:
    """Return the context whose processes are forked from one that has loaded Nearline."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    with chdir(ROOT):  # where the process finds the module to load
        forkserver.ensure_running()
    return context


class Forked:
    """A process with the interface of `subprocess.Popen`, whose output goes to files.

    Warnings are errors in it.

    Parameters
    ----------
    output : Path
        File for the standard output.
    function : callable
        What the process does, a function of a module.
    *arguments : object
        Arguments of the function.
    errors : Path or None
        File for the standard error; None for the same as `output`.
    given : Path
        File that is the standard input.
    environment : mapping or None
        Variables of the environment; None for those of this process.
    """

    def __init__(
        self,
        output: Path,
        function: Callable[..., None],
        *arguments: object,
        errors: Path | None = None,
        given: Path = NOTHING,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        variables = dict(os.environ if environment is None else environment)
        self._process = forks().Process(
            target=_call,
            args=(given, output, errors, variables, function, arguments),
            daemon=True,
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


class ForkedModules:
    """Stands in for the module `subprocess` where that runs ``python -m MODULE``.

    The module runs in a forked process. Other commands run as usual.
    """

    TimeoutExpired = subprocess.TimeoutExpired

    @staticmethod
    def Popen(
        command: list[str], *, stdout: IO[bytes], stderr: IO[bytes], env: Mapping[str, str]
    ) -> Forked:
        assert stdout is stderr
        assert command[1] == "-m"
        return Forked(Path(stdout.name), _run_module, *command[2:], environment=env)

    @staticmethod
    def run(
        command: list[str], *, input: str, env: Mapping[str, str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if command[1] != "-m":
            return subprocess.run(command, input=input, env=env, **options)
        with TemporaryDirectory() as folder:
            given, output, errors = (Path(folder, name) for name in ("given", "output", "errors"))
            given.write_text(input)
            code = Forked(
                output, _run_module, *command[2:], errors=errors, given=given, environment=env
            ).wait()
            return subprocess.CompletedProcess(
                command, code, output.read_text(), errors.read_text()
            )


def _run_code(code: str, *arguments: str) -> None:
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def _run_module(module: str, *arguments: str) -> None:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _call(
    given: Path,
    output: Path,
    errors: Path | None,
    environment: Mapping[str, str],
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    # The process that forked this one began with the environment of some test before.
    os.environ.clear()
    os.environ.update(environment)
    made = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(given, os.O_RDONLY), 0)
    os.dup2(os.open(output, made, 0o600), 1)
    os.dup2(1 if errors is None else os.open(errors, made, 0o600), 2)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has closed the one before
    warnings.simplefilter("error")
    function(*arguments)
