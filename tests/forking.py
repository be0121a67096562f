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
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
NOTHING = Path(os.devnull)
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
Place = Path | Connection


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
    output : Path or Connection
        File or pipe for the standard output.
    function : callable
        What the process does, a function of a module.
    *arguments : object
        Arguments of the function.
    errors : Path, Connection or None
        File or pipe for the standard error; None for the same as `output`.
    given : Path or Connection
        File or pipe that is the standard input.
    environment : mapping or None
        Variables of the environment; None for those of this process.
    """

    def __init__(
        self,
        output: Place,
        function: Callable[..., None],
        *arguments: object,
        errors: Place | None = None,
        given: Place = NOTHING,
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


class ForkedCommand:
    """A command of Nearline in a forked process, whose output can be read."""

    def __init__(self, *arguments: object) -> None:
        context = forks()
        output, told = context.Pipe(duplex=False)
        errors, failed = context.Pipe(duplex=False)
        self._process = Forked(
            told, _run_module, "nearline.cli", *map(str, arguments), errors=failed
        )
        self.stdout, self.stderr = (os.fdopen(os.dup(end.fileno())) for end in (output, errors))
        for end in (output, told, errors, failed):
            end.close()
        self.send_signal, self.terminate = self._process.send_signal, self._process.terminate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.stdout.close()
        self.stderr.close()

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Return what the process has not told yet, once it has ended."""
        with ThreadPoolExecutor(2) as pool:
            told = [pool.submit(end.read) for end in (self.stdout, self.stderr)]
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()  # ends both pipes
                raise
            return told[0].result(), told[1].result()

    @property
    def returncode(self) -> int:
        return self._process.wait(0)


class ForkedJob:
    """Stands in for the process of a job, whose standard input and output are pipes."""

    def __init__(self, command: list[str], errors: IO[bytes], environment: Mapping[str, str]):
        context = forks()
        given, requests = context.Pipe(duplex=False)
        responses, told = context.Pipe(duplex=False)
        log = Path(f"/proc/{os.getpid()}/fd/{errors.fileno()}")
        self._process = Forked(
            told, _run_module, *command[2:], errors=log, given=given, environment=environment
        )
        self.stdin = os.fdopen(os.dup(requests.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(responses.fileno()), "rb")
        for end in (given, requests, responses, told):
            end.close()
        self.pid, self.kill, self.wait = self._process.pid, self._process.kill, self._process.wait

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stdin.close()
        self.wait()


class ForkedModules:
    """Stands in for the module `subprocess` where that runs ``python -m MODULE``.

    The module runs in a forked process. Other commands run as usual.
    """

    PIPE = subprocess.PIPE
    TimeoutExpired = subprocess.TimeoutExpired

    @staticmethod
    def Popen(
        command: list[str],
        *,
        stdout: IO[bytes] | int,
        stderr: IO[bytes],
        env: Mapping[str, str],
        stdin: int | None = None,
    ) -> Forked | ForkedJob:
        assert command[1] == "-m"
        if isinstance(stdout, int):
            assert stdin == stdout == subprocess.PIPE
            return ForkedJob(command, stderr, env)
        assert stdout is stderr
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
    sys.modules.pop(module, None)  # a module that is run must not be one that was imported
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _call(
    given: Place,
    output: Place,
    errors: Place | None,
    environment: Mapping[str, str],
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    # The process that forked this one began with the environment of some test before.
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(_opened(given, os.O_RDONLY), 0)
    os.dup2(_opened(output, NEW), 1)
    os.dup2(1 if errors is None else _opened(errors, NEW), 2)
    for place in (given, output, errors):
        if isinstance(place, Connection):
            place.close()  # so that a pipe ends with its standard stream
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has closed the one before
    warnings.simplefilter("error")
    function(*arguments)


def _opened(place: Place, flags: int) -> int:
    return place.fileno() if isinstance(place, Connection) else os.open(place, flags, 0o600)
