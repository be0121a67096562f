"""Off-policy evaluation of served lists, with values computed by hand, and its three interfaces."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.cli.running import run, run_json

import nearline as nl
from nearline.errors import InvalidInput
from nearline.evaluation.off_policy import cascade_weights, evaluate_served, served_rows
from nearline.served import Attributed, Led, Served


def shown(number: int, second: str, *, click: bool, scenario: str = "home") -> Attributed:
    """A list whose second place is drawn: x with probability .8, the best, or y."""
    best = second == "x"
    served = Served(
        recommendation_id=f"r{number}",
        user_id=f"u{number}",
        timestamp=float(number),
        item_ids=("a", second),
        tiers=("personal", "personal"),
        model="m",
        offset=0,
        policy="epsilon",
        propensities=(1.0, 0.8 if best else 0.2),
        explored=() if best else (1,),
        scenario=scenario,
    )
    led = [Led("click", second, None, float(number))] if click else []
    return Attributed(served, [*led, Led("purchase", "a", None, float(number))], None)


# Eight lists with x, of which two lead to a click, and two with y, of which one does.
LISTS = [shown(n, "x", click=n < 2) for n in range(8)] + [
    shown(n, "y", click=n < 9) for n in (8, 9)
]


def test_rows_are_the_places_that_are_drawn() -> None:
    log = served_rows(LISTS)
    assert (log.items, log.positions) == (["x", "y"], [2])
    assert log.propensity.tolist() == [0.8] * 8 + [0.2] * 2
    assert log.reward.tolist() == [1.0, 1.0, *[0.0] * 6, 1.0, 0.0]
    assert log.table["greedy"].to_pylist() == [1.0] * 8 + [0.0] * 2
    assert served_rows(LISTS, metric="purchase").reward.sum() == 0.0  # of the first place only
    assert len(served_rows(LISTS, until=3.0).item) == 3


def test_estimates_by_hand() -> None:
    greedy = evaluate_served(LISTS, "greedy")
    assert greedy.policy == "greedy"
    assert greedy.total.logged.value == pytest.approx(0.3)
    # Weights 1 / .8 and 0: (2 * 1.25) / 10, and 2 / 8 normalised; 8 equal weights count as 8.
    values = {one.name: one.value for one in greedy.total.estimates}
    assert values == pytest.approx({"ips": 0.25, "snips": 0.25})
    assert greedy.total.effective == pytest.approx(8.0)
    assert greedy.mean_weight == pytest.approx(1.0)
    uniform = evaluate_served(LISTS, "uniform", estimators=["ips"])
    # Weights .5 / .8 and .5 / .2: (2 * .625 + 2.5) / 10.
    assert uniform.total.estimates[0].value == pytest.approx(0.375)
    itself = evaluate_served(LISTS, "column:propensity")
    assert itself.total.estimates[1].value == pytest.approx(0.3)


def test_a_list_that_is_served_twice_multiplies_no_weight_twice() -> None:
    served = Served(
        recommendation_id="r",
        user_id="u",
        timestamp=1.0,
        item_ids=("a", "b"),
        tiers=("personal",) * 2,
        model="m",
        offset=0,
        propensities=(0.5, 0.25),
    )
    log = served_rows([Attributed(served, [], None)] * 2)
    weights = cascade_weights(log, np.array([2.0, 4.0, 2.0, 4.0]))
    assert weights.tolist() == [2.0, 8.0, 2.0, 8.0]


def test_lists_without_exploration_are_refused() -> None:
    with pytest.raises(InvalidInput, match="scenario 'other'"):
        served_rows(LISTS, scenario="other")
    with nl.Recommender() as rec:
        with pytest.raises(InvalidInput, match="explore"):
            rec.evaluate_policy("greedy")
        for wrong in ({"scenario": ""}, {"metric": 3}, {"since": "soon"}):
            with pytest.raises(InvalidInput):
                rec.evaluate_policy("greedy", **wrong)


def test_python_and_the_command_line_agree(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    rows = [(f"u{n}", f"i{(n + step) % 12}") for n in range(8) for step in range(4)]
    users, items = zip(*rows, strict=True)
    with nl.Recommender(store).fit(pa.table({"user_id": users, "item_id": items})) as rec:
        rec.put_scenario("home", k=3, explore={"rate": 0.5, "candidates": 4})
        for user in sorted(set(users)):
            lines = rec.recommend(user, scenario="home")
            name = lines.answer.recommendation_id
            rec.observe(user, lines[1].item_id, "click", recommendation_id=name)
        expected = rec.evaluate_policy("greedy", scenario="home", lists="cascade")
        for wrong in ("nothing", {"item_id": ["i1"]}):
            with pytest.raises(InvalidInput):
                rec.evaluate_policy(wrong)
    assert expected.total.logged.value == 0.5  # the first place is kept, the second has the click
    found: Any = run_json(
        *("ope", "--store", store, "--policy", "greedy", "--scenario", "home"),
        *("--lists", "cascade"),
    )
    assert found["total"]["estimates"] == expected.as_dict()["total"]["estimates"]
    text = run("ope", "--store", store, "--policy", "uniform", "--metric", "purchase")
    assert (text.exit_code, "16 rows" in text.stdout) == (0, True)
    for given in (
        ["--policy", "greedy"],
        ["log.csv", "--policy", "greedy", "--store", store],
        ["log.csv", "--policy", "uniform", "--metric", "click"],
        ["--store", store, "--policy", "uniform", "--column", "reward=click"],
    ):
        assert run("ope", *given).exit_code == 2, given
    assert run("ope", "--store", store, "--policy", "greedy", "--scenario", "x").exit_code == 1
