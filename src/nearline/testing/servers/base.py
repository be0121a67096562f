"""Base of the servers: a temporary folder, an unprivileged user, and processes to end."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Self

import psutil
import pytest

# Seconds for which a server may start or stop, also on a loaded machine.
START_SECONDS = 120.0
_POLL_SECONDS = 0.02
# User of a server that refuses to run as root.
UNPRIVILEGED = "nobody"


def require(program: str, install: str) -> NoReturn:
    """Skip the running test because a program is missing; fail it if ``CI`` is set.

    Parameters
    ----------
    program, install : str
        What is missing, and how to install it.
    """
    message = f"{program} is missing; to run this test, {install}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `condition` is true; raise `TimeoutError`, which names `what`, after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} took longer than {seconds:.0f} seconds")
        time.sleep(_POLL_SECONDS)


class ServerProcess:
    """A process in a temporary folder of its own, with the output in the file ``output``.

    Parameters
    ----------
    name : str
        Name of the server, for the folder and error messages.
    unprivileged : bool
        Whether the process must not be root. If the tests run as root, it runs as ``nobody``.

    Attributes
    ----------
    folder : Path
        Folder of the server's data, with a short path, since the paths of sockets are limited.
    process : subprocess.Popen or None
        The process while it runs.
    """

    def __init__(self, name: str, *, unprivileged: bool = False) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"nearline-{name}-"))
        self.process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}
        if unprivileged and os.getuid() == 0:
            account = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Run a program to its end as the server's user; raise `RuntimeError` if it fails."""
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, cwd=self.folder, env=env, check=False, **self._user
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).decode()}")

    def spawn(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start the process of the server."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=env,
                start_new_session=True,
                **self._user,
            )

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true; raise `RuntimeError` if the process ends before."""

        def ready() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.output()[-2_000:]}")
            return condition()

        wait_until(ready, f"the start of {self.name}")

    def output(self) -> str:
        """Return what the server has printed."""
        return (self.folder / "output").read_text(errors="replace")

    def kill(self) -> None:
        """End the process and all its children at once, like ``kill -9``; wait for their ends."""
        for process in self._tree()[:1]:  # a stopped parent starts no more children
            _send(process, signal.SIGSTOP)
        tree = self._tree()
        for process in tree:
            _send(process, signal.SIGKILL)
        self._reap()
        wait_until(lambda: not any(map(_runs, tree[1:])), f"the end of {self.name}")

    def freeze(self) -> None:
        """Stop the process and its children from running (SIGSTOP) until `thaw`."""
        for process in self._tree():
            _send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server run again."""
        for process in self._tree():
            _send(process, signal.SIGCONT)

    def stop(self) -> None:
        """End the server and remove its folder; idempotent."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tree(self) -> list[psutil.Process]:
        if self.process is None or self.process.poll() is not None:
            return []
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait(START_SECONDS)
            self.process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
