"""A simulated shop with known truth: users with hidden tastes who click, get tired and change.

The probability of a click on the item at a position is a product:

- *appeal*: a logistic function of the item's quality and of the angle between the user's and the
  item's taste, hidden vectors that the recommender never sees;
- *examination*: 1 / position^bias, since lower positions are seen less often;
- *freshness*: fatigue^n after n earlier showings of the same item to the user;
- *patience*: after a click, the user goes on to lower positions only with this probability (cascade
  model; N. Craswell et al., WSDM 2008).

After each visit, the user's taste moves a little (drift), and new items can arrive. Titles and
categories of the items tell something about their tastes, as in a real catalogue.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

TASTES = (
    *("adventure", "cooking", "football", "gardening", "history", "jazz", "mountains", "painting"),
)
# Showings from which on fatigue no longer grows.
MOST_SHOWN = 50


class WorldConfig(NamedTuple):
    """Properties of a simulated shop.

    Attributes
    ----------
    users, items : int
        Number of users, and of items at the beginning.
    rate : float
        Appeal of an average item to an average user, between 0 and 1.
    strength : float
        How much appeal depends on taste; 0 means not at all.
    position_bias : float
        Exponent of the examination; 0 means that all positions are seen.
    fatigue : float
        Factor of the appeal for each earlier showing, from 0 to 1; 1 means no fatigue.
    patience : float
        Probability to look on after a click, from 0 (one click at most) to 1.
    activity : float
        Standard deviation of the logarithm of the users' frequency of visits; 0 means that all
        users visit equally often.
    drift : float
        Share of a user's taste that a visit replaces by a random one, from 0 to 1.
    seed : int
        Seed of everything that is random.
    """

    users: int = 200
    items: int = 300
    rate: float = 0.1
    strength: float = 3.0
    position_bias: float = 1.0
    fatigue: float = 0.9
    patience: float = 1.0
    activity: float = 0.0
    drift: float = 0.0
    seed: int = 0


class SimulatedWorld:
    """The users and items of a simulated shop.

    Parameters
    ----------
    config : WorldConfig
        Properties of the shop.

    Attributes
    ----------
    users, items : list of str
        IDs.

    Raises
    ------
    ValueError
        A property is out of range.
    """

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config = config or WorldConfig()
        _check(self.config)
        self._rng = np.random.default_rng(self.config.seed)
        self.users = [f"sim-user-{number}" for number in range(self.config.users)]
        self.items: list[str] = []
        self._user_at = {user: at for at, user in enumerate(self.users)}
        self._item_at: dict[str, int] = {}
        self._tastes = _directions(self._rng, self.config.users)
        self._kinds = np.empty((0, len(TASTES)))
        self._quality = np.empty(0)
        frequency = np.exp(self.config.activity * self._rng.standard_normal(self.config.users))
        self._frequency = frequency.cumsum() / frequency.sum()
        self._shown: list[dict[int, int]] = [{} for _ in self.users]
        self.add_items(self.config.items)

    def add_items(self, n: int) -> list[dict[str, Any]]:
        """Add n new items; return their catalogue entries."""
        first = len(self.items)
        names = [f"sim-item-{number}" for number in range(first, first + n)]
        self._item_at.update((name, first + at) for at, name in enumerate(names))
        self.items += names
        self._kinds = np.vstack([self._kinds, _directions(self._rng, n)])
        self._quality = np.append(self._quality, self._rng.normal(0.0, 0.5, n))
        return [self.entry(name) for name in names]

    def entry(self, item: str) -> dict[str, Any]:
        """Return the catalogue entry of an item: ID, title and categories."""
        kind = self._kinds[self._item_at[item]]
        words = [TASTES[at] for at in np.argsort(-kind)[:2]]
        return {
            "item_id": item,
            "title": f"{words[0]} and {words[1]}",
            "text": f"{words[0]} {words[0]} {words[1]}",
            "categories": [words[0]],
        }

    def catalogue(self) -> list[dict[str, Any]]:
        """Return the catalogue entries of all items."""
        return [self.entry(item) for item in self.items]

    def appeal(self, user: str) -> Doubles:
        """Return the probability with which a user clicks each item that is seen and fresh."""
        config = self.config
        base = np.log(config.rate / (1.0 - config.rate))
        match = self._kinds @ self._tastes[self._user_at[user]]
        return np.asarray(1.0 / (1.0 + np.exp(-base - config.strength * match - self._quality)))

    def probabilities(self, user: str, items: Sequence[str]) -> Doubles:
        """Return the probability of a click on each line of a list. Unknown items have 0."""
        alone = self.looks(user, items)
        going_on = 1.0 - (1.0 - self.config.patience) * alone
        return np.asarray(alone * np.concatenate([[1.0], going_on.cumprod()[:-1]])[: len(alone)])

    def looks(self, user: str, items: Sequence[str]) -> Doubles:
        """Return the probability of a click on each line if the user gets that far."""
        appeal = self.appeal(user)
        shown = self._shown[self._user_at[user]]
        found = np.zeros(len(items))
        for position, item in enumerate(items):
            at = self._item_at.get(item)
            if at is not None:
                tired = self.config.fatigue ** min(shown.get(at, 0), MOST_SHOWN)
                seen = (position + 1.0) ** -self.config.position_bias
                found[position] = appeal[at] * tired * seen
        return found

    def best(self, user: str, k: int) -> list[str]:
        """Return the k items with the highest appeal, the largest first."""
        appeal = self.appeal(user)
        for at, count in self._shown[self._user_at[user]].items():
            appeal[at] *= self.config.fatigue ** min(count, MOST_SHOWN)
        return [self.items[at] for at in np.argsort(-appeal, kind="stable")[:k]]

    def random_user(self) -> str:
        """Draw the user of the next visit."""
        at = int(np.searchsorted(self._frequency, self._rng.random(), side="right"))
        return self.users[min(at, len(self.users) - 1)]

    def visit(self, user: str, items: Sequence[str]) -> list[str]:
        """Show a list to a user; return the clicked items. The user gets tired and changes."""
        clicked = self._rng.random(len(items)) < self.looks(user, items)
        if self.config.patience < 1.0:
            stopped = clicked & (self._rng.random(len(items)) >= self.config.patience)
            if stopped.any():
                clicked[int(stopped.argmax()) + 1 :] = False
        at = self._user_at[user]
        shown = self._shown[at]
        for item in items:
            if item in self._item_at:
                number = self._item_at[item]
                shown[number] = shown.get(number, 0) + 1
        if self.config.drift:
            (other,) = _directions(self._rng, 1)
            mixed = (1.0 - self.config.drift) * self._tastes[at] + self.config.drift * other
            self._tastes[at] = mixed / np.linalg.norm(mixed)
        return [item for item, hit in zip(items, clicked.tolist(), strict=True) if hit]


def _directions(rng: np.random.Generator, n: int) -> Doubles:
    vectors = rng.standard_normal((n, len(TASTES)))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _check(config: WorldConfig) -> None:
    if config.users < 1 or config.items < 1:
        raise ValueError(f"{config.users} users and {config.items} items; at least 1 of each")
    if not 0.0 < config.rate < 1.0:
        raise ValueError(f"rate is {config.rate}; it must lie between 0 and 1")
    for name in ("fatigue", "patience", "drift"):
        value = getattr(config, name)
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is {value}; it must be from 0 to 1")
    if not (config.position_bias >= 0.0 and config.activity >= 0.0):
        raise ValueError("position_bias and activity must be at least 0")
