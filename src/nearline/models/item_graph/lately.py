"""What is popular lately, as counts that each event updates, for the score of returning users."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.data.clock import FIRST_CLOCK_TIME
from nearline.data.dataset import Histories
from nearline.kernels.edges import Rows
from nearline.kernels.recent_counts import FADED, NEVER, count_recent, set_rises
from nearline.kernels.returning import Terms
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.schema.times import DAY

Arrays = dict[str, NDArray[Any]]
Longs = NDArray[np.int64]

# Items that are popular lately and thus are candidates for everybody.
LEADERS = 512
PREFIX = "lately/"


class RecentCounts:
    """Decayed counts of the events of each item, and the terms of the score that use them.

    Parameters
    ----------
    config : ItemGraphConfig
        Settings of the model; without the time terms or repeats, nothing is counted.
    n_items : int
        Number of items.
    """

    def __init__(self, config: ItemGraphConfig, n_items: int) -> None:
        lately, n_half_lives = config.lately, len(config.lately.half_lives)
        self._half_lives = np.array(lately.half_lives, dtype=np.float64) * DAY
        self._newest_cells = np.full(n_half_lives, NEVER, dtype=np.int64)
        self._cells = np.zeros((2, n_items, n_half_lives), dtype=np.int64)
        self._totals = np.zeros((2, n_half_lives), dtype=np.int64)
        self._sums = np.zeros((n_items, n_half_lives))
        self._rises = np.ones(n_items)
        self._popularity_total = 0
        self._units = (0.0, 0.0)
        self._newest = -np.inf
        self.set_terms(config)

    def set_terms(self, config: ItemGraphConfig) -> None:
        """Set the weights of the terms; the counts are kept, so the half-lives must be the same."""
        self.active = uses_time(config)
        lately, repeats = config.lately, config.repeats
        self._weights = np.array(lately.weights, dtype=np.float64)
        self._rising, self._after = lately.rising, lately.after
        self._rising_at = lately.half_lives.index(lately.rising_half_life)
        fade = 0.5 ** (1.0 / repeats.half_life)
        self._repeats = (repeats.weight, fade, repeats.rising)
        self._own_lately = repeats.lately
        self._own_column = lately.half_lives.index(repeats.lately_half_life)
        self._units = (0.0, 0.0)
        self._leaders: set[int] | None = None

    def grow(self, n_items: int) -> None:
        """Extend the counts to `n_items` items."""
        more = n_items - len(self._rises)
        if more > 0:
            self._cells = np.pad(self._cells, ((0, 0), (0, more), (0, 0)))
            self._sums = np.pad(self._sums, ((0, more), (0, 0)))
            self._rises = np.pad(self._rises, (0, more), constant_values=1.0)

    def add(
        self,
        rows: Rows,
        times: NDArray[np.float64],
        sign: int,
        popularity: Longs,
        popularity_total: int,
    ) -> None:
        """Count events, or subtract them.

        Parameters
        ----------
        rows : Rows
            Events with their weights, of which only positive ones count.
        times : float64 [n]
            Times of the events.
        sign : int
            1 or -1.
        popularity : int64 [capacity]
            Popularity of each item, with these events.
        popularity_total : int
            Sum of `popularity`.
        """
        self._popularity_total = popularity_total
        if len(rows.items) == 0:
            return
        count_recent(
            *(rows.items, times, rows.weights, sign, self._half_lives),
            *(self._newest_cells, self._cells, self._totals, self._sums),
        )
        if sign > 0:
            self.reach(float(times.max()))
        self._set_rises(rows.items, popularity)
        if self._leaders is not None:
            self._lead(rows.items, sign)

    def reach(self, time: float) -> None:
        """Set the time of the newest event, unless a newer one is known."""
        self._newest = max(self._newest, time)

    def _set_rises(self, items: NDArray[np.int32], popularity: Longs) -> None:
        if self._rising <= 0:
            return
        h = self._rising_at
        # Powers of two, so that the rises of all other items rarely change.
        units = (_unit(self._shares()[h]), _unit(float(self._popularity_total)))
        if units != self._units:
            self._units = units
            items = np.arange(len(popularity), dtype=np.int32)
        set_rises(
            *(items, self._sums, h, units[0], popularity, units[1], self._rising, self._rises)
        )

    def set_all_rises(self, popularity: Longs) -> None:
        """Compute the rises of all items again, after a change of the settings."""
        self._popularity_total = int(popularity.sum())
        self._units = (0.0, 0.0)
        if self._rising <= 0:
            self._rises = np.ones(len(self._rises))
        self._set_rises(np.zeros(0, dtype=np.int32), popularity)

    def terms(self) -> Terms:
        """Return the terms of the score for the kernels."""
        shares = np.maximum(self._shares(), 1.0)
        weights = self._weights / shares
        own = (self._own_lately / float(shares[self._own_column]), self._own_column)
        if self._leaders is None:
            self._find_leaders(weights)
        return Terms(
            *(self._rises, self._sums, weights, self._leader_items, self._floor),
            *self._repeats,
            *own,
        )

    def returning(self, histories: Histories) -> NDArray[np.bool_]:
        """Return which users come back after a while: bool [n].

        The latest of their events is at least `Lately.after` older than the newest event of all.
        Users without events or without real times are not returning.
        """
        ends = histories.indptr[1:]
        some = ends > histories.indptr[:-1]
        latest = np.full(len(histories), np.inf)
        latest[some] = histories.times[ends[some] - 1]
        found: NDArray[np.bool_] = latest <= self._newest - self._after
        return found & (latest >= FIRST_CLOCK_TIME)

    def arrays(self, n_items: int) -> Arrays:
        """Return the counts for a snapshot; nothing if the terms are not used."""
        if not self.active:
            return {}
        return {
            f"{PREFIX}cells": np.ascontiguousarray(self._cells[:, :n_items]),
            f"{PREFIX}newest_cells": self._newest_cells.copy(),
            f"{PREFIX}newest": np.array([self._newest]),
        }

    def load(self, arrays: Arrays, popularity: Longs) -> None:
        """Set the counts from the result of `arrays`."""
        if f"{PREFIX}cells" not in arrays:
            return
        self._cells = arrays[f"{PREFIX}cells"].copy()
        self._newest_cells = arrays[f"{PREFIX}newest_cells"].copy()
        self._newest = float(arrays[f"{PREFIX}newest"][0])
        self._totals = self._cells.sum(axis=1)
        self._sums = self._cells[1] + self._cells[0] * FADED
        self._rises = np.ones(self._cells.shape[1])
        self.set_all_rises(popularity)

    def _shares(self) -> NDArray[np.float64]:
        """Return the total of the decayed sums for each half-life: float64 [H]."""
        total: NDArray[np.float64] = self._totals[1] + self._totals[0] * FADED
        return total

    def _find_leaders(self, weights: NDArray[np.float64]) -> None:
        lately = self._sums @ weights
        n = min(LEADERS, len(lately))
        if n == len(lately):
            found, self._floor = np.arange(n), 0.0
        else:
            found = np.argpartition(-lately, n)[:n]
            self._floor = float(np.partition(lately, len(lately) - n - 1)[len(lately) - n - 1])
        self._leader_items = np.sort(found).astype(np.int32)
        self._leaders = set(self._leader_items.tolist())

    def _lead(self, items: NDArray[np.int32], sign: int) -> None:
        """Add items whose counts increased to the leaders; find them again after a decrease.

        The share of an item without new events only decreases, so it stays below the floor.
        """
        if sign < 0:
            self._leaders = None
            return
        assert self._leaders is not None  # noqa: S101 (for the type checker)
        new = set(items[items >= 0].tolist()) - self._leaders
        if len(self._leaders) + len(new) > 2 * LEADERS:
            self._leaders = None
        elif new:
            self._leaders |= new
            self._leader_items = np.append(self._leader_items, np.array(sorted(new), np.int32))


def uses_time(config: ItemGraphConfig) -> bool:
    """Return whether the score of returning users has other terms than the relations."""
    lately = config.lately
    return (
        lately.rising > 0
        or any(lately.weights)
        or lately.patience != 1
        or config.repeats.weight > 0
    )


def _unit(total: float) -> float:
    """Return the largest power of two up to `total`."""
    return float(2.0 ** np.floor(np.log2(total))) if total > 0 else 1.0
