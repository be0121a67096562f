"""Runs the blocks of one page as a reader would: one folder, one Python session, one server.

A block that is one plain command of Nearline runs in this process, which saves its start.
"""

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Self

import httpx
from click.testing import CliRunner
from tests.docs.blocks import RUN, Block
from tests.server.serving import wait_until_ready

from nearline.cli import main
from nearline.testing.servers.ports import free_port

WRITTEN_ADDRESS = "127.0.0.1:8080"
ANY = "..."
OUTPUT_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS = 120.0
_SERVE = re.compile(r"^(\w+=\S+ )?nearline serve ", re.MULTILINE)


class Reader:
    """Follows a page in `folder`, block by block.

    A `bash` block that holds ``nearline serve`` starts a server on a free port, which runs until
    the page ends or the next one starts; the address of the page becomes that of the server.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Any] = {"__name__": "__page__"}
        self._output = ""
        self._server: subprocess.Popen[bytes] | None = None
        self._address = WRITTEN_ADDRESS
        paths = (str(Path(sys.executable).parent), os.environ["PATH"])
        self._environment = {**os.environ, "PATH": os.pathsep.join(paths)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for value in self._names.values():
            if hasattr(value, "__exit__") and not isinstance(value, type):
                value.__exit__(None, None, None)
        self._stop_server()

    def follow(self, block: Block) -> None:
        """Do with a block what the rules say."""
        if block.not_run:
            return
        if block.title:
            (self.folder / block.title).write_text(block.body, encoding="utf-8")
        elif block.language in RUN:
            body = block.body.replace(WRITTEN_ADDRESS, self._address)
            self._output = (
                self._python(block, body)
                if block.language == "python"
                else (self._serve(block) if _SERVE.search(body) else self._bash(block, body))
            )
        elif block.answers:
            check_output(block, self._output)
        elif block.language == "json":
            json.loads(block.body)
        elif block.language == "toml":
            tomllib.loads(block.body)
        else:
            raise AssertionError(f"{block.where}: no rule says what to do with {block.language}")

    def _python(self, block: Block, body: str) -> str:
        # Blank lines in front, so that a traceback names the line of the page.
        page, line = block.where.split(":")
        code = compile("\n" * int(line) + body, page, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(code, self._names)
        return output.getvalue()

    def _bash(self, block: Block, body: str) -> str:
        if (arguments := plain_command(body)) is not None:
            result = CliRunner().invoke(main, arguments, catch_exceptions=False)
            assert result.exit_code == 0, f"{block.where}: {result.output}"
            return result.stdout
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", body],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block.where}: {done.stdout}{done.stderr}"
        return done.stdout

    def _serve(self, block: Block) -> str:
        assert block.body.count("\n") == 1, f"{block.where}: a server has a block of its own"
        self._stop_server()
        self._address = f"127.0.0.1:{free_port()}"
        port = self._address.partition(":")[2]
        self._server = subprocess.Popen(
            ["bash", "-c", f"exec env {block.body.strip()} --port {port}"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with httpx.Client(base_url=f"http://{self._address}", timeout=120.0) as http:
            wait_until_ready(http.get)
        return ""

    def _stop_server(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            code = self._server.wait(timeout=SECONDS)
            self._server = None
            assert code == 0, f"the server ended with {code}"


def plain_command(body: str) -> list[str] | None:
    """Return the arguments of the one ``nearline`` command of a block; None for other blocks."""
    lexer = shlex.shlex(body.replace("\\\n", " ").strip(), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    # The shell gives a meaning to these, and to the end of a line.
    if re.search(r"[$`*?\n#]", body.replace("\\\n", " ").strip()):
        return None
    words = list(lexer)
    if words[0] != "nearline" or any(set(word) <= set("();<>|&") for word in words):
        return None
    return words[1:]


def check_output(block: Block, found: str) -> None:
    """Hold output against the block that shows it; ``...`` stands for anything."""
    if block.language == "json":
        assert matches(json.loads(block.body), json.loads(found)), f"{block.where}: got {found}"
    else:
        checker = doctest.OutputChecker()
        shown = checker.check_output(block.body, found, OUTPUT_FLAGS)
        assert shown, f"{block.where}: got\n{found}"


def matches(shown: object, found: object) -> bool:
    """Whether a JSON value is the one shown; the text "..." stands for any value."""
    match shown, found:
        case dict(), dict():
            return shown.keys() == found.keys() and all(
                matches(value, found[name]) for name, value in shown.items()
            )
        case list(), list():
            return len(shown) == len(found) and all(map(matches, shown, found))
    return shown in (ANY, found)
