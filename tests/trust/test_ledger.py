"""The privacy budget: spent before release, durably, and never more than there is."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.engine.shop import clock

import nearline as nl
from nearline.deployment.backup import backup, restore
from nearline.engine import statistics as statistics_module
from nearline.errors import BudgetSpent, Damaged, InvalidInput
from nearline.trust.ledger import LEDGER, UNITS, Ledger

BUDGET, COST = 2 * UNITS, UNITS // 10
SPENDER = """
import sys
from pathlib import Path
from nearline.errors import BudgetSpent
from nearline.trust.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
try:
    while True:
        ledger.spend("users", 1, 100_000, 2_000_000, now=0.0)
        print("released", flush=True)
except BudgetSpent:
    pass
"""
KILLED = """
import os, signal, sys
from pathlib import Path
import nearline as nl
from nearline.engine import statistics

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

with nl.Recommender(Path(sys.argv[1]), config=nl.Config(privacy_budget=1.0)) as rec:
    rec.put_item("a", text="a")
    rec.statistics("items", 0.25)
    setattr(statistics, sys.argv[2], killed)
    rec.statistics("items", 0.5)
"""


def spend(ledger: Ledger, cost: int = COST) -> int:
    return ledger.spend("users", 1, cost, BUDGET, now=1.5)


@pytest.mark.parametrize("in_memory", [True, False])
def test_sums_are_exact(tmp_path: Path, in_memory: bool) -> None:
    ledger = Ledger(None if in_memory else tmp_path)
    assert ledger.entries() == []
    assert [spend(ledger) for _ in range(20)] == list(range(BUDGET - COST, -1, -COST))
    for cost in (COST, 1):
        with pytest.raises(BudgetSpent, match="0 of the privacy_budget of 2"):
            spend(ledger, cost)
    assert ledger.spent() == BUDGET
    assert [one.id for one in ledger.entries()] == list(range(1, 21))
    assert {(one.time, one.epsilon, one.per_user) for one in ledger.entries()} == {(1.5, 0.1, 1)}


def test_a_refused_cost_is_not_spent(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(BudgetSpent):
        spend(ledger, BUDGET + 1)
    assert spend(ledger, BUDGET) == 0


def test_threads_and_processes_never_spend_more_than_there_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    command = [sys.executable, "-c", SPENDER, str(tmp_path)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in others:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"

    def until_spent(_: int) -> int:
        done = 0
        while True:
            try:
                spend(ledger)
            except BudgetSpent:
                return done
            done += 1

    with ThreadPoolExecutor(4) as pool:
        own = sum(pool.map(until_spent, range(4)))
    told = sum(one.communicate()[0].count("released") for one in others)
    assert own + told == 20
    assert ledger.spent() == BUDGET


def test_what_a_killed_process_released_is_spent(tmp_path: Path) -> None:
    rng = random.Random(3)
    for n in range(12):
        folder = tmp_path / str(n)
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", SPENDER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * 0.05)
        process.kill()
        released = process.communicate()[0].count("released")
        spent = Ledger(folder).spent()
        assert released * COST <= spent <= min((released + 1) * COST, BUDGET)


@pytest.mark.parametrize("at", ["bounded_counts", "discrete_laplace"])
def test_a_kill_between_payment_and_release_refunds_nothing(tmp_path: Path, at: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "shop"), at],
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with nl.Recommender(tmp_path / "shop", config=nl.Config(privacy_budget=1.0)) as rec:
        assert rec.privacy_budget().left == 0.25
        with pytest.raises(BudgetSpent):
            rec.statistics("users", 0.26)
        assert rec.statistics("users", 0.25).left == 0


def test_nothing_is_computed_before_it_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("computed without payment")

    monkeypatch.setattr(statistics_module, "bounded_counts", refused)
    with nl.Recommender(config=nl.Config(privacy_budget=0.1)) as rec:
        with pytest.raises(BudgetSpent):
            rec.statistics("users", 0.2)
        with pytest.raises(InvalidInput):
            rec.statistics("secrets", 0.1)
        assert rec.privacy_budget().spent == 0


def test_a_damaged_ledger_releases_nothing(tmp_path: Path) -> None:
    spend(Ledger(tmp_path))
    (tmp_path / LEDGER).write_bytes(b"no database" * 100)
    with pytest.raises(Damaged, match="restore"):
        spend(Ledger(tmp_path))
    with pytest.raises(Damaged, match="restore"):
        Ledger(tmp_path).entries()


def test_copies_of_a_store_have_its_ledger(tmp_path: Path) -> None:
    config = nl.Config(privacy_budget=1.0)
    with nl.Recommender(tmp_path / "shop", config=config, clock=clock) as rec:
        rec.observe("ann", "tea")
        rec.statistics("users", 0.75)
        rec.save(tmp_path / "saved")
        backup(tmp_path / "shop", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    for name in ("saved", "backup", "restored"):
        with nl.Recommender(tmp_path / name, config=config, clock=clock) as rec:
            assert rec.privacy_budget().left == 0.25
            with pytest.raises(BudgetSpent):
                rec.statistics("users", 0.5)
