"""Load from `wrk` and from the generator in Python: their results and their failures."""

import os
from pathlib import Path
from typing import Any

import pytest

from nearline.bench import generate
from nearline.bench.generate import Load, Reads, failures, generator, no_failure, reads
from nearline.bench.harness import BenchFailed, Server, clean_environment, python, run_command
from nearline.bench.plan import Plan

RESULT = '{"requests": 300, "seconds": 1.5, "errors": 2, "p50": 0.5, "p99": 2.25}'


def fake_wrk(folder: Path, monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    """Put a program called wrk on the path that stores its arguments and prints a text."""
    program = folder / "wrk"
    program.write_text(f"#!/bin/sh\necho \"$@\" > {folder}/arguments\necho '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))


def test_wrk_gets_the_plan_and_its_result_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wrk(tmp_path, monkeypatch, f"Running\nRESULT {RESULT}")
    plan = Plan(folder=tmp_path, users=7, seconds=1.6, connections=4, seed=9)
    assert generator().startswith("load: wrk")
    assert reads(plan, 8080, "/a/USER") == Reads(rate=200.0, p50=0.5, p99=2.25, errors=2)
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:3] == ["-t1", "-c4", "-d2s"]
    assert arguments[-1] == "http://127.0.0.1:8080"
    script = (tmp_path / "reads.lua").read_text()
    assert 'local users, path, requests, at = 7, "/a/USER"' in script
    assert "math.randomseed(9)" in script


def test_wrk_without_a_result_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_wrk(tmp_path, monkeypatch, "no server")
    with pytest.raises(BenchFailed, match="wrk printed no result: no server"):
        reads(Plan(folder=tmp_path), 8080)


def test_without_wrk_the_python_generator_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    asked: list[tuple[Any, ...]] = []

    def ask(plan: Plan, port: int, kind: str, **more: object) -> dict[str, Any]:
        asked.append((port, kind, more))
        record = {"count": 30, "ms": {"p50": 1.0, "p99": 4.0}, "errors": {"status 503: ": 2}}
        return {"seconds": 2.0, "records": {"read": record}}

    monkeypatch.setattr(generate, "ask", ask)
    assert generator().startswith("load: Python generator")
    assert reads(Plan(folder=tmp_path), 81, "/x") == Reads(rate=15.0, p50=1.0, p99=4.0, errors=2)
    assert asked == [(81, "fetch", {"path": "/x"})]


def test_failures_of_all_records_are_counted_by_reason() -> None:
    record = {"errors": {"status 503: ": 2}}
    answer = {"records": {"read": record, "event": {"errors": {"status 503: ": 1, "gone": 4}}}}
    assert failures(answer) == {"status 503: ": 3, "gone": 4}
    with pytest.raises(BenchFailed, match="requests failed"):
        no_failure(answer)
    assert no_failure({"records": {"read": {"errors": {}}}}) == {"read": {"errors": {}}}


def test_a_load_generator_that_fails_is_an_error_with_its_output(tmp_path: Path) -> None:
    with (
        Load(Plan(folder=tmp_path), 1, "no-such-kind") as load,
        pytest.raises(BenchFailed, match=r"the load generator failed: (?s:.*)no-such-kind"),
    ):
        load.answer()
    assert not load.running


def test_a_command_that_fails_is_an_error_with_its_last_lines() -> None:
    assert run_command(["cat"], "given") == "given"
    with pytest.raises(BenchFailed, match=r"sh -c echo.* ended with 3: why"):
        run_command(["sh", "-c", "echo why >&2; exit 3"])


def test_a_server_that_ends_before_it_is_ready_is_an_error(tmp_path: Path) -> None:
    server = Server(lambda port: ["sh", "-c", f"echo no port {port}"], tmp_path / "output.txt")
    with pytest.raises(BenchFailed, match="ended before it was ready: no port"):
        server.start()


def test_child_processes_inherit_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_STORE", "shop")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert clean_environment().keys() & {"NEARLINE_STORE", "OMP_NUM_THREADS"} == set()
    assert clean_environment()["PATH"] == os.environ["PATH"]
    assert python("a.b", Path("c"))[1:] == ["-m", "a.b", "c"]
