"""The report on duties towards people, and receipts of erasures."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import nearline as nl
from nearline.cli import main
from nearline.trust.audit import LOG, AuditLine, AuditLog
from nearline.trust.keys import KeyStore


def run(*words: str) -> Any:
    return CliRunner().invoke(main, list(words))


def test_the_report_says_what_was_checked(tmp_path: Path) -> None:
    store = tmp_path / "s"
    with nl.Recommender(store) as rec:
        rec.observe("u", "i")
    first = run("comply", "--store", str(store), "--json")
    assert first.exit_code == 0, first.output
    checks = {one["duty"]: one["passed"] for one in json.loads(first.stdout)["checks"]}
    assert checks["erasure"] is checks["objection to profiling"] is True
    assert checks["who did what to whose data"] is None
    KeyStore(store).create(["read"], now=1.0)
    log = AuditLog(store, lambda: 1.0)
    log.append(AuditLine("begin"))
    log.close()
    page = tmp_path / "report.html"
    assert run("comply", "--store", str(store), "--html", str(page)).exit_code == 0
    assert "not legal advice" in page.read_text()
    (store / "access.key").chmod(0o644)
    (store / LOG).write_bytes(b"x" + (store / LOG).read_bytes())
    failed = run("comply", "--store", str(store), "--json")
    assert failed.exit_code == 1
    checks = {one["duty"]: one["passed"] for one in json.loads(failed.stdout)["checks"]}
    assert [name for name, passed in checks.items() if passed is False] == [
        "secrets are readable by their owner only",
        "who did what to whose data",
    ]


def test_a_receipt_is_verified_by_the_store_that_made_it(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "a") as rec:
        rec.observe("u", "i")
        rec.put_consent("u", profiling=False)
        receipt = rec.erasure_receipt("u", rec.forget("u").result())
    assert receipt.erased == 2
    assert receipt.nothing_left
    assert receipt.user != "u"
    nl.Recommender(tmp_path / "b").close()
    shown = run("audit", "receipt", receipt.token, "--store", str(tmp_path / "a"), "--json")
    assert json.loads(shown.stdout)["erased"] == 2
    changed = receipt.token[:-2] + ("AA" if receipt.token[-2:] != "AA" else "BB")
    for store, token in (("a", changed), ("b", receipt.token), ("a", "x")):
        assert run("audit", "receipt", token, "--store", str(tmp_path / store)).exit_code == 1


def test_a_receipt_says_so_if_something_is_left(tmp_path: Path) -> None:
    with nl.Recommender() as rec:
        rec.observe("u", "i")
        assert not rec.erasure_receipt("u", 0).nothing_left
