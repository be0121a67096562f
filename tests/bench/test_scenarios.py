"""Every scenario once at a small size, on real servers: its report is complete and plausible.

Except in `test_start`, the processes are forked from one that has loaded Nearline.
"""

from collections.abc import Callable

import pytest
from tests.forking import ForkedModules

from nearline.bench import (
    batch,
    fresh_read,
    freshness,
    harness,
    hot_read,
    ingest,
    mixed,
    new_item,
    promotion,
    scale,
    start,
    training_load,
)
from nearline.bench.harness import BenchFailed
from nearline.bench.plan import Plan, ScenarioReport


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """One folder for all, so that a shop is made once."""
    folder = tmp_path_factory.mktemp("bench")
    return Plan(
        folder=folder, users=60, items=200, seconds=0.3, connections=2, rate=100.0, repeats=1
    )


@pytest.fixture(autouse=True)
def _forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.function is not test_start:
        monkeypatch.setattr(harness, "subprocess", ForkedModules)


def names(report: ScenarioReport) -> set[str]:
    return {one.name for one in report.figures}


def check(report: ScenarioReport) -> None:
    """No figure is missing, negative or out of the order of its repeats."""
    assert len(names(report)) == len(report.figures) > 0
    for one in report.figures:
        assert one.low <= one.value <= one.high
        assert one.name == "memory, slope" or one.name == "memory a user" or one.value >= 0
    assert report.notes
    assert {"figures", "notes", "curves"} == report.as_dict().keys()


def test_hot_read(plan: Plan) -> None:
    found = hot_read.run(plan)
    check(found)
    assert found["failed"] == 0
    rate, empty = found["requests a second"], found["requests a second, empty server"]
    assert found["share of the empty server"] == pytest.approx(rate / empty)
    assert "lists read once in advance: 60 of 60 users" in found.notes


def test_fresh_read(plan: Plan) -> None:
    found = fresh_read.run(plan)
    check(found)
    for items in ("200", "2,000"):
        # The server's own time is part of the client's.
        server = found[f"server time, p50, {items} items"]
        assert 0 < server < found[f"client's time, p50, {items} items"]


def test_mixed(plan: Plan) -> None:
    found = mixed.run(plan)
    check(found)
    assert found["failed"] == 0
    assert found.curves["mixed0"][0][0] < found.curves["mixed0"][-1][0]


def test_ingest(plan: Plan) -> None:
    found = ingest.run(plan)
    check(found)
    rate, limit = found["lists of 100"], found["lists of 100, bare SQLite"]
    assert found["lists of 100, share of it"] == pytest.approx(rate / limit)
    assert found["import of a Parquet file"] > 0


@pytest.mark.parametrize("run", [freshness.run, new_item.run])
def test_from_a_change_to_the_list(plan: Plan, run: Callable[[Plan], ScenarioReport]) -> None:
    found = run(plan)
    check(found)
    p50, p99 = (one.value for one in found.figures[:2])
    assert 0 < p50 <= p99


def test_batch(plan: Plan) -> None:
    found = batch.run(plan)
    check(found)
    together, single = found["recommend_many"], found["recommend, one by one"]
    assert found["ratio"] == pytest.approx(together / single)


def test_start(plan: Plan) -> None:
    found = start.run(plan)
    check(found)
    assert found["ready from the checkpoint"] > 0


def test_scale(plan: Plan) -> None:
    found = scale.run(plan, axes=["users"])
    check(found)
    (before, one), (after, ten) = found.curves["users"]
    assert (before, after) == (1.0, 10.0)
    assert found["growth of the answer's time, users x10"] == pytest.approx(ten / one)
    assert "base: 6 users, 20 items, 10 events per user" in found.notes


MISSING = "needs a version that can"


def run_if_able(run: Callable[[Plan], ScenarioReport], plan: Plan) -> ScenarioReport:
    """Run, or skip where this server lacks the routes and the scenario says so."""
    try:
        return run(plan)
    except BenchFailed as error:
        if MISSING in str(error):
            pytest.skip(str(error))
        raise


def test_promotion(plan: Plan) -> None:
    found = run_if_able(promotion.run, plan)
    check(found)
    assert found["failed or mixed"] == 0
    assert found["promotions and rollbacks"] > 0


def test_training_load(plan: Plan) -> None:
    found = run_if_able(training_load.run, plan)
    check(found)
    assert found["failed"] == 0
    assert found["training took"] > 0
