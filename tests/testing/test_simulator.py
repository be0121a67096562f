"""The simulated shop and the closed loop, with shops whose clicks are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.cli.running import run

import nearline as nl
from nearline.errors import InvalidInput
from nearline.testing.closed_loop import HttpShop, ShopError, ShopList, run_visits
from nearline.testing.simulator import SimulatedWorld, WorldConfig


class OracleShop:
    """Shows the best lists; keeps what it is told."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.items: list[str] = []
        self.clicks: list[str] = []

    def put_items(self, entries: Sequence[dict[str, Any]]) -> None:
        self.items += [entry["item_id"] for entry in entries]

    def recommend(self, user: str, k: int) -> ShopList:
        return ShopList("r", self.world.best(user, k))

    def click(self, user: str, items: Sequence[str], recommendation_id: str) -> None:
        assert recommendation_id == "r"
        self.clicks += items


class EngineShop(OracleShop):
    """An engine in this process."""

    def __init__(self, world: SimulatedWorld, rec: nl.Recommender) -> None:
        super().__init__(world)
        self.rec = rec

    def put_items(self, entries: Sequence[dict[str, Any]]) -> None:
        for entry in entries:
            self.rec.put_item(entry["item_id"], title=entry["title"], text=entry["text"])

    def recommend(self, user: str, k: int) -> ShopList:
        return ShopList(
            "r", [line.item_id for line in self.rec.recommend(user, k=k, exclude_seen=False)]
        )

    def click(self, user: str, items: Sequence[str], recommendation_id: str) -> None:
        for item in items:
            self.rec.observe(user_id=user, item_id=item, event="click")


def test_probabilities_are_the_product_of_appeal_examination_and_freshness() -> None:
    world = SimulatedWorld(WorldConfig(users=3, items=5, position_bias=2.0, fatigue=0.5))
    user, items = world.users[0], ["sim-item-4", "sim-item-1", "unknown"]
    appeal = world.appeal(user)
    fresh = world.probabilities(user, items)
    assert fresh == pytest.approx([appeal[4], appeal[1] / 4, 0.0])
    world.visit(user, items)
    world.visit(user, items)
    assert world.probabilities(user, items) == pytest.approx(fresh / 4)
    assert world.probabilities(world.users[1], items)[0] == world.appeal(world.users[1])[4]


def test_clicks_follow_the_probabilities() -> None:
    world = SimulatedWorld(WorldConfig(users=1, items=3, fatigue=1.0, rate=0.3))
    expected = world.probabilities("sim-user-0", world.items)
    clicks = [world.visit("sim-user-0", world.items) for _ in range(4_000)]
    counts = [sum(item in clicked for clicked in clicks) for item in world.items]
    assert np.abs(np.array(counts) / 4_000 - expected).max() < 0.035


def test_drift_changes_tastes_and_its_absence_does_not() -> None:
    for drift, moves in ((0.0, False), (0.2, True)):
        world = SimulatedWorld(WorldConfig(users=1, items=20, drift=drift))
        before = world.appeal("sim-user-0")
        for _ in range(50):
            world.visit("sim-user-0", [])
        assert (np.abs(world.appeal("sim-user-0") - before).max() > 0.01) == moves


def test_the_same_seed_gives_the_same_world_and_visits() -> None:
    def told(seed: int) -> tuple[list[dict[str, Any]], list[str]]:
        world = SimulatedWorld(WorldConfig(users=5, items=9, seed=seed))
        shop = OracleShop(world)
        run_visits(world, shop, 40)
        return world.catalogue(), shop.clicks

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_oracle_gets_all_that_is_possible_and_parts_add_up() -> None:
    world = SimulatedWorld(WorldConfig(users=4, items=10))
    shop = OracleShop(world)
    told: list[int] = []
    parts = run_visits(
        world, shop, 37, k=3, new_items=8, progress=lambda done, _total, _what: told.append(done)
    )
    assert len(parts) == 10
    assert sum(part.visits for part in parts) == 37 == told[-1]
    assert sum(part.clicks for part in parts) == len(shop.clicks)
    assert all(part.expected == pytest.approx(part.possible) for part in parts)
    assert shop.items == world.items
    assert len(world.items) == 18


def test_an_engine_learns_in_the_loop() -> None:
    config = WorldConfig(users=8, items=60, strength=6.0, fatigue=1.0, rate=0.05, position_bias=0.3)
    world = SimulatedWorld(config)
    with nl.Recommender(clock=lambda: 1_700_000_000.0) as rec:
        parts = run_visits(world, EngineShop(world, rec), 300, k=5)
    early, late = parts[:3], parts[-3:]
    assert sum(part.expected for part in late) > 1.2 * sum(part.expected for part in early)


@pytest.mark.parametrize(
    "change",
    [{"users": 0}, {"rate": 1.0}, {"fatigue": 1.1}, {"drift": -0.1}, {"position_bias": -1.0}],
)
def test_wrong_properties_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        SimulatedWorld(WorldConfig(**change))


def test_unreachable_server_and_wrong_address_are_said_plainly() -> None:
    with pytest.raises(InvalidInput, match="http://HOST:PORT"):
        HttpShop("localhost")
    shop = HttpShop("http://127.0.0.1:1")
    with pytest.raises(ShopError, match="nearline serve"):
        shop.recommend("u", 1)
    failed = run("simulate", "--url", "http://127.0.0.1:1")
    assert failed.exit_code == 1
    assert "doesn't answer" in failed.stderr
    assert run("simulate", "--url", "ftp://x").exit_code == 1
