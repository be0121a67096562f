"""Failures exit with 1 and one message on standard error."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.cli.running import run, started

from nearline.cli.app import CommandGroup
from nearline.engine import Recommender


def failure(*arguments: str | Path) -> str:
    """Run a command that must fail, and return its message."""
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    return result.stderr


def test_a_missing_file_creates_no_store(tmp_path: Path, events: Path) -> None:
    message = failure("import", "--store", tmp_path / "store", tmp_path / "event.csv")
    assert "did you mean events.csv" in message
    assert not (tmp_path / "store").exists()


def test_the_error_for_wrong_column_names_lists_those_of_the_file(
    tmp_path: Path, events: Path
) -> None:
    events.write_text(events.read_text().replace("user_id", "customer"))
    message = failure("import", "--store", tmp_path / "store", events)
    assert "user_id" in message
    assert "customer" in message
    wrong = ["--column", "user_id=custommer"]
    assert "'customer'" in failure("import", "--store", tmp_path / "store", events, *wrong)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "none.csv").touch()
    message = failure("import", "--store", tmp_path / "store", tmp_path / "none.csv", "--json")
    assert "is empty" in message


def test_only_bad_rows(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("user_id,item_id,timestamp\n,i1,1700000000\nu1,,1700000000\n")
    message = failure("import", "--store", tmp_path / "store", bad)
    assert "no usable interaction is left" in message
    assert "user_id is empty" in message


@pytest.mark.parametrize("command", [["train"], ["recommend", "u1"], ["explain", "u1", "r1"]])
def test_no_store(tmp_path: Path, command: list[str]) -> None:
    message = failure(*command, "--store", tmp_path / "none")
    assert f"nearline import --store {tmp_path / 'none'} FILE" in message
    assert not (tmp_path / "none").exists()


def test_a_folder_without_a_store_is_unchanged(tmp_path: Path) -> None:
    assert "there is no store" in failure("recommend", "--store", tmp_path, "u1")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_another_process_has_open(shop: Path) -> None:
    with Recommender(shop):
        message = failure("recommend", "--store", shop, "u1")
    assert "open" in message
    assert str(os.getpid()) in message


def test_unknown_item(shop: Path) -> None:
    assert "'r9'" in failure("similar", "--store", shop, "r9")


def test_a_store_without_events_cannot_be_trained(tmp_path: Path, items: Path) -> None:
    assert run("import", "--store", tmp_path / "store", "--items", items).exit_code == 0
    assert "no events" in failure("train", "--store", tmp_path / "store")


def test_errors_of_the_operating_system_have_no_traceback(tmp_path: Path, events: Path) -> None:
    message = failure("import", "--store", events / "store", events)
    assert "Not a directory" in message


def test_unknown_data_set() -> None:
    assert "movielens-100k" in failure("evaluate", "movielens")


def failing_command(error: BaseException) -> CommandGroup:
    @click.command("work")
    def work() -> None:
        raise error

    return CommandGroup(commands={"work": work})


@pytest.mark.parametrize(
    ("error", "code", "output"),
    [(KeyboardInterrupt(), 130, ""), (BrokenPipeError(32, "Broken pipe"), 1, "")],
)
def test_an_interrupt_prints_no_message(error: BaseException, code: int, output: str) -> None:
    result = CliRunner().invoke(failing_command(error), ["work"])
    assert (result.exit_code, result.output) == (code, output)


def test_a_closed_pipe_prints_no_message(shop: Path) -> None:
    with started("recommend", "--store", shop, "u1", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
