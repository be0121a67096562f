"""Team-draft interleaving: one list made of the lists of two rankers.

The two rankers take turns in an order decided by a coin, and each adds the best item of its list
that isn't in the common list yet. A click counts for the ranker that added the item. If users
choose among the items that they see, far fewer users are needed than in an A/B test, since a worse
item loses to the better one beside it. If clicks are independent of each other, nothing is saved.

F. Radlinski, M. Kurup, T. Joachims: How Does Clickthrough Data Reflect Retrieval Quality?
CIKM 2008.
"""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Interleaved(NamedTuple):
    """A list of k items, and for each of them the ranker that added it.

    Attributes
    ----------
    items : tuple of str
        Item IDs in their order.
    teams : tuple of int
        0 if the first ranker added the item, 1 if the second did.
    """

    items: tuple[str, ...]
    teams: tuple[int, ...]


def team_draft(
    first: Sequence[str], second: Sequence[str], k: int, rng: random.Random
) -> Interleaved:
    """Merge two ranked lists into one of at most k items by a team draft.

    Parameters
    ----------
    first, second : sequence of str
        Items of each ranker, best first, without repetitions.
    k : int
        Length of the list.
    rng : Random
        Source of the coins; the same state gives the same list.

    Notes
    -----
    Takes O(len(first) + len(second)) time. In each round, both rankers add one item, so the numbers
    of their items differ by at most one while neither list is exhausted.
    """
    items: list[str] = []
    teams: list[int] = []
    taken: set[str] = set()
    sources = iter(first), iter(second)
    while len(items) < k:
        before = len(items)
        start = rng.getrandbits(1)
        for team in (start, 1 - start):
            item = next((item for item in sources[team] if item not in taken), None)
            if item is not None and len(items) < k:
                items.append(item)
                teams.append(team)
                taken.add(item)
        if len(items) == before:
            break
    return Interleaved(tuple(items), tuple(teams))


def credit(teams: Sequence[int], clicked: Iterable[int]) -> int:
    """Return clicks on the second ranker's items minus clicks on the first's.

    Parameters
    ----------
    teams : sequence of int
        Teams of the list that was shown.
    clicked : iterable of int
        Positions of the clicked items, from 0.
    """
    return sum(1 if teams[at] else -1 for at in set(clicked))
