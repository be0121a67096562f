"""A closed loop: simulated users visit a shop, whose recommender learns from their clicks.

`SimulatedWorld` knows the truth, so the loop can say what was possible. A shop is a running server
(`HttpShop`) or anything else with the methods of `Shop`.
"""

import http.client
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit

from nearline.common.progress import Progress, no_progress
from nearline.errors import InvalidInput, NearlineError
from nearline.testing.simulator import SimulatedWorld

PARTS = 10
# Items sent in one request.
BATCH = 500


class ShopList(NamedTuple):
    """An answer of a shop: the ID of the recommendation and the items."""

    recommendation_id: str
    items: list[str]


class Shop(Protocol):
    """What the loop needs of a recommender."""

    def put_items(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add catalogue entries."""

    def recommend(self, user: str, k: int) -> ShopList:
        """Return a list of at most k items."""

    def click(self, user: str, items: Sequence[str], recommendation_id: str) -> None:
        """Report the clicks on a list."""


class ShopError(NearlineError):
    """The server of a simulation can't be reached, or refused a request."""


class HttpShop:
    """A running server as a shop, over one connection.

    Parameters
    ----------
    url : str
        Address of the server, such as ``http://127.0.0.1:8080``; a path is put before that of
        each request.
    key : str or None
        API key.
    options : mapping of str to str, optional
        Query parameters of each request for a list, such as ``scenario``.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        options: dict[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"url is {url!r}; write http://HOST:PORT", field="url")
        kinds: dict[str, type[http.client.HTTPConnection]] = {
            "http": http.client.HTTPConnection,
            "https": http.client.HTTPSConnection,
        }
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=timeout)
        self._url, self._path = url, parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._options = options or {}

    def put_items(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add catalogue entries."""
        for start in range(0, len(entries), BATCH):
            self._call("POST", "/v1/items", list(entries[start : start + BATCH]))

    def recommend(self, user: str, k: int) -> ShopList:
        """Return a list of at most k items."""
        query = urlencode({"k": k, **self._options})
        path = f"/v1/users/{quote(user, safe='')}/recommendations?{query}"
        answer = self._call("GET", path)
        return ShopList(answer["recommendation_id"], [line["item_id"] for line in answer["items"]])

    def click(self, user: str, items: Sequence[str], recommendation_id: str) -> None:
        """Report the clicks on a list as events."""
        events = [
            {
                "user_id": user,
                "item_id": item,
                "event": "click",
                "recommendation_id": recommendation_id,
            }
            for item in items
        ]
        self._call("POST", "/v1/events", events)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _call(self, method: str, path: str, body: object = None) -> Any:
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, self._path + path, text, self._headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ShopError(
                f"{self._url} doesn't answer ({error}); start it with `nearline serve --store DIR`"
            ) from error
        if response.status >= 300:
            said = data.decode(errors="replace")[:500]
            raise ShopError(f"{method} {path} was answered with {response.status}: {said}")
        return json.loads(data)


class SimulatedPart(NamedTuple):
    """Sums over a part of the visits.

    Attributes
    ----------
    visits : int
        Number of visits.
    clicks : int
        Clicks.
    expected : float
        Expected clicks of the lists that were shown.
    possible : float
        Expected clicks of the best lists.
    """

    visits: int
    clicks: int
    expected: float
    possible: float


def run_visits(
    world: SimulatedWorld,
    shop: Shop,
    visits: int,
    *,
    k: int = 10,
    new_items: int = 0,
    progress: Progress = no_progress,
) -> list[SimulatedPart]:
    """Let simulated users visit a shop.

    Parameters
    ----------
    world : SimulatedWorld
        The users and items. Its catalogue is sent to the shop first.
    shop : Shop
        The recommender.
    visits : int
        Number of visits, each by a random user.
    k : int
        Length of the lists.
    new_items : int
        Number of items that arrive during the simulation, evenly spaced.
    progress : callable
        Receives the number of finished visits; see `nearline.common.progress`.

    Returns
    -------
    list of SimulatedPart
        At most ten parts of equal size, in the order of time.
    """
    if visits < 1 or k < 1 or new_items < 0:
        raise ValueError(f"visits is {visits}, k {k} and new_items {new_items}; too small")
    shop.put_items(world.catalogue())
    parts: list[SimulatedPart] = []
    sums = SimulatedPart(0, 0, 0.0, 0.0)
    added = 0
    for number in range(1, visits + 1):
        due = new_items * number // visits - added
        if due:
            shop.put_items(world.add_items(due))
            added += due
        user = world.random_user()
        shown = shop.recommend(user, k)
        possible = float(world.probabilities(user, world.best(user, k)).sum())
        expected = float(world.probabilities(user, shown.items).sum())
        clicked = world.visit(user, shown.items)
        if clicked:
            shop.click(user, clicked, shown.recommendation_id)
        sums = SimulatedPart(
            sums.visits + 1,
            sums.clicks + len(clicked),
            sums.expected + expected,
            sums.possible + possible,
        )
        if number * PARTS // visits > len(parts):
            parts.append(sums)
            sums = SimulatedPart(0, 0, 0.0, 0.0)
        progress(number, visits, "visits")
    return parts
