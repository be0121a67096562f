import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from tests.cli.running import run

from nearline.cli import main
from nearline.cli.evaluate import SPLITS
from nearline.cli.study import STRATEGIES

COMMANDS = list(main.commands)
# With the commands of groups instead of the groups.
LEAVES = [
    name if not isinstance(command, click.Group) else f"{name} {sub}"
    for name, command in main.commands.items()
    for sub in (command.commands if isinstance(command, click.Group) else [""])
]


def test_commands_are_listed_in_the_order_of_use() -> None:
    listed = run("--help").stdout.split("Commands:")[1].split("Example:")[0]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == COMMANDS


@pytest.mark.parametrize("command", [*COMMANDS, *LEAVES])
def test_every_help_has_an_example_of_the_command(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"nearline {command}" in result.stdout.split("Example:")[1]


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_has_the_option_json(command: str) -> None:
    assert "--json" in run(*command.split(), "-h").stdout


@pytest.mark.parametrize("command", LEAVES)
def test_examples_use_only_options_that_exist(command: str) -> None:
    text = run(*command.split(), "--help").stdout
    options, example = text.split("Options:")[1].split("Example:")
    known = set(options.replace(",", " ").split())
    used = {word for word in example.split() if word.startswith("-")}
    assert used <= known


def test_version() -> None:
    assert run("--version").stdout == f"nearline {version('nearline')}\n"


def test_the_help_imports_no_slow_library() -> None:
    program = (
        "import sys; from nearline.cli import main\n"
        "try: main(['recommend', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'numba', 'pyarrow', 'sklearn', 'litestar'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["recomend"],
        ["recommend", "u1"],
        ["recommend", "--store", "shop"],
        ["recommend", "--store", "shop", "u1", "-k", "0"],
        ["recommend", "--store", "shop", "u1", "-k", "1001"],
        ["recommend", "--store", "shop", "u1", "--colour", "red"],
        ["import", "--store", "shop"],
        ["import", "--store", "shop", "events.csv", "--column", "timestamp"],
        ["import", "--store", "shop", "events.csv", "--column", "=date"],
        ["train", "--store", "shop", "--seed", "-1"],
        ["evaluate", "synthetic", "--split", "monthly"],
        ["evaluate", "synthetic", "--fraction", "1"],
        ["serve", "--store", "shop", "--port", "0"],
    ],
)
def test_wrong_use_exits_with_2_and_a_hint(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "Error: " in result.stderr
    assert result.stdout == ""


def test_names_of_splits_equal_those_of_the_implementation() -> None:
    assert list(SPLITS) == list(STRATEGIES)
