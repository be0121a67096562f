"""Runs the blocks of one page as a reader would: one folder, one Python session, one server.

Plain commands of Nearline run in this process, and a server is forked, which saves their start.
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
from typing import Any, NamedTuple, Self

import httpx
from click.testing import CliRunner
from tests.docs.blocks import RUN, Block
from tests.forking import Forked
from tests.server.serving import wait_until_ready

from nearline.cli import main
from nearline.testing.servers.ports import free_port

WRITTEN_ADDRESS = "127.0.0.1:8080"
ANY = "..."
OUTPUT_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECONDS = 120.0
_SERVE = re.compile(r"^(\w+=\S+ )?(nearline serve .*)", re.MULTILINE)


class Command(NamedTuple):
    """Arguments of a ``nearline`` command, and the file that gets its output; empty for none."""

    arguments: list[str]
    file: str


class Reader:
    """Follows a page in `folder`, block by block.

    A `bash` block that holds ``nearline serve`` starts a server on a free port, which runs until
    the page ends or the next one starts; the address of the page becomes that of the server.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Any] = {"__name__": "__page__"}
        self._output = ""
        self._server: Forked | subprocess.Popen[bytes] | None = None
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
        commands = [plain_command(line) for line in body.replace("\\\n", " ").splitlines()]
        plain = [command for command in commands if command is not None]
        if len(plain) == len(commands):
            return "".join(self._command(block, command) for command in plain)
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

    def _command(self, block: Block, command: Command) -> str:
        result = CliRunner().invoke(main, command.arguments, catch_exceptions=False)
        assert result.exit_code == 0, f"{block.where}: {result.output}"
        if command.file:
            (self.folder / command.file).write_text(result.stdout, encoding="utf-8")
            return ""
        return result.stdout

    def _serve(self, block: Block) -> str:
        served = _SERVE.fullmatch(block.body.strip())
        assert served, f"{block.where}: a server has a block of its own"
        command = plain_command(served[2])
        assert command is not None, f"{block.where}: the command is not a plain one"
        self._stop_server()
        self._address = f"127.0.0.1:{free_port()}"
        port = self._address.partition(":")[2]
        name, _, value = (served[1] or "").strip().partition("=")
        environment = {**self._environment, **({name: value} if name else {})}
        given = [*command.arguments, "--port", port]
        if "--workers" in given:  # its readers are started as it was
            self._server = subprocess.Popen(
                ["nearline", *given],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        else:
            self._server = Forked(Path(os.devnull), _run_server, self.folder, environment, given)
        with httpx.Client(base_url=f"http://{self._address}", timeout=120.0) as http:
            wait_until_ready(http.get)
        return ""

    def _stop_server(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            code = self._server.wait(timeout=SECONDS)
            self._server = None
            assert code == 0, f"the server ended with {code}"


def _run_server(folder: Path, environment: dict[str, str], arguments: list[str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    main(arguments)


def plain_command(line: str) -> Command | None:
    """Return the command of a line that is one ``nearline`` command; None for other lines."""
    if re.search(r"[$`*?#]", line):  # the shell gives a meaning to these
        return None
    lexer = shlex.shlex(line.strip(), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        return None
    file = ""
    if words[-2:-1] == [">"]:
        file = words[-1]
        del words[-2:]
    if words[:1] != ["nearline"] or any(set(word) <= set("();<>|&") for word in words):
        return None
    return Command(words[1:], file)


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
