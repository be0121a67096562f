"""The audit log: every change is found, a killed process leaves no gap, requests are recorded."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.cli import main
from nearline.engine import Recommender
from nearline.errors import StorageFailed
from nearline.server import Security, create_app
from nearline.trust.audit import (
    CHECKPOINT_LINES,
    HEAD,
    LOG,
    AuditLine,
    AuditLog,
    read_lines,
    verify,
)
from nearline.trust.keys import KeyStore


def filled(folder: Path, n: int) -> None:
    log = AuditLog(folder, lambda: 1.7e9)
    log.start()
    for number in range(n):
        log.append(AuditLine("begin", f"r{number}", "key", "GET", "/v1/users/{user_id}"))
    log.close()


def test_a_chain_is_intact_and_continues_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path, 150)
    filled(tmp_path, 80)
    found = verify(tmp_path)
    assert found.problem is None
    assert (found.lines, found.checkpoints) == (234, 4)  # two by number, two when closed
    rows = [json.loads(line) for line in (tmp_path / LOG).read_bytes().splitlines()]
    assert [row["n"] for row in rows] == list(range(234))
    for path in tmp_path.iterdir():
        if path.name != HEAD:
            assert path.stat().st_mode & 0o077 == 0


def test_each_flipped_byte_is_found(tmp_path: Path) -> None:
    filled(tmp_path, CHECKPOINT_LINES + 5)
    for name in (LOG, HEAD):
        whole = (tmp_path / name).read_bytes()
        rng = random.Random(5)
        places = rng.sample(range(len(whole)), 150) if name == LOG else range(len(whole))
        for at in (*places, 0, len(whole) - 2, len(whole) - 1):
            changed = bytearray(whole)
            changed[at] ^= 1 << rng.randrange(8)
            (tmp_path / name).write_bytes(changed)
            if name == HEAD and at == len(whole) - 1:
                continue  # the line feed of the head means nothing
            assert verify(tmp_path).problem is not None, (name, at)
        (tmp_path / name).write_bytes(whole)
        assert verify(tmp_path).problem is None


def test_removed_added_and_moved_lines_are_found(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    path = tmp_path / LOG
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for wrong in (
        lines[:-1],
        lines[1:],
        lines[:5] + lines[6:],
        lines[:5] + lines[5:6] * 2 + lines[6:],
        [*lines[:5], lines[6], lines[5], *lines[7:]],
        [],
    ):
        path.write_bytes(b"".join(wrong))
        assert verify(tmp_path).problem is not None
    path.write_bytes(whole)
    assert verify(tmp_path).problem is None
    (tmp_path / "audit.key").write_bytes(bytes(32))  # signatures of another key
    assert "signature" in str(verify(tmp_path).problem)
    path.unlink()
    assert "missing" in str(verify(tmp_path).problem)


def test_a_line_that_was_cut_off_is_removed_and_noted(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    with (tmp_path / LOG).open("ab") as file:
        file.write(b'{"n":4,"at":"20')
    assert "not complete" in str(verify(tmp_path).problem)
    filled(tmp_path, 2)
    assert verify(tmp_path).problem is None
    assert b'"recovered"' in (tmp_path / LOG).read_bytes()


def test_two_processes_append_to_one_chain(tmp_path: Path) -> None:
    first, second = (AuditLog(tmp_path, lambda: 1.0) for _ in range(2))
    for log in (first, second, second, first, second):
        log.append(AuditLine("begin"))
    first.close()
    second.close()
    assert verify(tmp_path).problem is None


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        AuditLog(tmp_path / "no", lambda: 1.0)
    (tmp_path / "audit.key").write_bytes(b"short")
    with pytest.raises(StorageFailed):
        AuditLog(tmp_path, lambda: 1.0)


PROGRAM = """
import sys
import time
from pathlib import Path
from nearline.trust.audit import AuditLine, AuditLog
log = AuditLog(Path(sys.argv[1]), lambda: 1.7e9)
log.start()
n = 0
while True:
    log.append(AuditLine("begin", f"{sys.argv[2]}-{n}"))
    print(n, flush=True)  # acknowledged
    n += 1
"""
KILLS = int(os.environ.get("NEARLINE_TEST_AUDIT_KILLS", "4"))


def appending(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start a process that appends lines without an end, and prints the number of each."""
    command = [sys.executable, "-c", PROGRAM, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def acknowledged(process: "subprocess.Popen[bytes]", at_least: int, delay: float) -> int:
    """Kill a process after some lines and some time; return how many lines it acknowledged."""
    assert process.stdout is not None
    read = b"".join(process.stdout.readline() for _ in range(at_least))
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    read += process.stdout.read()
    process.wait()
    process.stdout.close()
    numbers = [int(line) for line in read.splitlines(keepends=True) if line.endswith(b"\n")]
    assert numbers == list(range(len(numbers)))
    return len(numbers)


def requests_in(folder: Path) -> list[str]:
    """Return the IDs of requests in an audit log, in its order."""
    return [line["request"] for line in read_lines(folder) if line["phase"] == "begin"]


def test_what_a_killed_process_acknowledged_stays_in_the_chain(tmp_path: Path) -> None:
    rng = random.Random(1)
    before: list[str] = []
    for kill in range(KILLS):
        n = acknowledged(appending(tmp_path, f"{kill}"), rng.randrange(1, 300), rng.random() / 50)
        log = AuditLog(tmp_path, lambda: 1.7e9)  # a restart, which does not close the log
        assert verify(tmp_path).problem is None, kill
        found = requests_in(tmp_path)
        wanted = before + [f"{kill}-{number}" for number in range(n)]
        # A line may have been written when its process was killed before it said so.
        assert found in (wanted, [*wanted, f"{kill}-{n}"]), kill
        before = found
        if kill % 2:
            log.close()
            assert verify(tmp_path).problem is None, kill


def test_a_log_has_a_head_from_the_beginning(tmp_path: Path) -> None:
    """A process that is killed again and again before its first checkpoint leaves one, too."""
    AuditLog(tmp_path, lambda: 1.7e9)
    assert (tmp_path / HEAD).is_file()
    report = verify(tmp_path)
    assert (report.lines, report.problem) == (0, None)


def test_one_of_two_processes_is_killed_and_the_other_goes_on(tmp_path: Path) -> None:
    rng = random.Random(2)
    other = appending(tmp_path, "other")
    written = []
    for kill in range(KILLS):
        n = acknowledged(appending(tmp_path, f"{kill}"), rng.randrange(1, 200), rng.random() / 50)
        written.append((f"{kill}", n))
    written.append(("other", acknowledged(other, 1, 0.0)))
    filled(tmp_path, 1)
    assert verify(tmp_path).problem is None
    found = requests_in(tmp_path)
    for name, n in written:
        mine = [one for one in found if one.startswith(f"{name}-")]
        wanted = [f"{name}-{number}" for number in range(n)]
        assert mine in (wanted, [*wanted, f"{name}-{n}"]), name


def test_a_line_that_another_process_did_not_end_is_removed(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, lambda: 1.0)
    log.append(AuditLine("begin", "r0"))
    with (tmp_path / LOG).open("ab") as file:  # of a process that was killed while it wrote
        file.write(b'{"n":1,"at":"20')
    log.append(AuditLine("begin", "r1"))
    assert verify(tmp_path).problem is None
    assert requests_in(tmp_path) == ["r0", "r1"]
    log.close()


def test_requests_are_recorded_before_and_after(tmp_path: Path) -> None:
    made = KeyStore(tmp_path).create(["admin"], now=1.0)
    reader = KeyStore(tmp_path).create(["read"], now=1.0)
    app = create_app(
        Recommender, keys=tmp_path, security=Security(audit=True), log_stream=io.StringIO()
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)

        def send(method: str, path: str, key: str = made.key, **more: Any) -> int:
            headers = {"x-api-key": key}
            return client.request(method, path, headers=headers, **more).status_code

        send("PUT", "/v1/items/i", json={"text": "x"})
        send("POST", "/v1/events", json={"user_id": "ann", "item_id": "i"})
        send("GET", "/v1/users/ann/recommendations")
        assert send("GET", "/v1/users/ann") == 200
        assert send("GET", "/v1/users/nobody") == 404
        assert send("DELETE", "/v1/users/ann") == 200
        assert send("GET", "/v1/users/ann", reader.key) == 403
        for _ in range(30):
            assert send("GET", "/v1/popular", "wrong") == 401

    def lines(*words: str) -> list[dict[str, Any]]:
        run = CliRunner().invoke(main, ["audit", *words, "--store", str(tmp_path), "--json"])
        assert run.exit_code == 0, run.output
        found: list[dict[str, Any]] = json.loads(run.stdout)["lines"]
        return found

    whole = lines("show")
    told = [(one["phase"], one.get("method"), one.get("status")) for one in whole]
    assert told[:3] == [("open", None, None), ("begin", "PUT", None), ("end", "PUT", 200)]
    assert {one["key"] for one in whole if one["phase"] == "begin"} == {made.id}
    hers = lines("show", "--user", "ann")
    assert [(one["phase"], one["method"], one.get("status")) for one in hers] == [
        *(("begin", "GET", None), ("end", "GET", 200)),
        *(("begin", "DELETE", None), ("end", "DELETE", 200)),
    ]
    assert {one["route"] for one in hers} == {"/v1/users/{user_id}"}
    assert lines("show", "--key", reader.id)[0]["status"] == 403
    refused = [one for one in whole if one["phase"] == "refused"]
    assert 10 <= len(refused) < 35  # many guesses do not fill the disk
    text = (tmp_path / LOG).read_text()
    assert "ann" not in text
    assert made.key not in text
    verified = CliRunner().invoke(main, ["audit", "verify", "--store", str(tmp_path)])
    assert verified.exit_code == 0
    assert "Intact" in verified.stdout
    (tmp_path / LOG).write_text(text.replace("DELETE", "GET"))
    assert CliRunner().invoke(main, ["audit", "verify", "--store", str(tmp_path)]).exit_code == 1


def test_a_handler_that_fails_is_recorded_too(tmp_path: Path) -> None:
    app = create_app(
        Recommender, keys=tmp_path, security=Security(audit=True), log_stream=io.StringIO()
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        assert client.get("/v1/jobs/nope").status_code == 404
    rows = [json.loads(line) for line in (tmp_path / LOG).read_bytes().splitlines()]
    assert [row["phase"] for row in rows] == ["open", "begin", "end", "close", "checkpoint"]
    assert rows[2]["status"] == 404
