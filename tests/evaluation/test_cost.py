import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.models.synthetic import shop

from nearline.data import Dataset, Histories
from nearline.evaluation import cost
from nearline.evaluation.cost import array_bytes, measured, time_answers, warm_up
from nearline.models.popularity import Popularity

DATA, _ = shop()
MEGABYTE = 1 << 20


def clock(*steps: float) -> "Iterator[float]":
    return iter(steps)


def test_time_is_what_the_clocks_say() -> None:
    wall, cpu = clock(10.0, 12.5), clock(1.0, 5.0)
    result, found = measured(lambda: "done", wall=lambda: next(wall), cpu=lambda: next(cpu))
    assert result == "done"
    assert (found.wall_s, found.cpu_s) == (2.5, 4.0)


def nothing() -> float:
    return 0.0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts the peak")
def test_the_peak_is_seen_though_the_memory_is_free_again() -> None:
    def work() -> int:
        return int(np.ones(200 * MEGABYTE, dtype=np.uint8)[-1])

    for _ in range(2):  # the second time too: the peak starts anew
        _, found = measured(work, wall=nothing, cpu=nothing)
        assert found.peak_bytes is not None
        assert 180 * MEGABYTE < found.peak_bytes < 400 * MEGABYTE
    _, found = measured(lambda: None, wall=nothing, cpu=nothing)
    assert found.peak_bytes is not None
    assert found.peak_bytes < 20 * MEGABYTE


def test_where_the_peak_cannot_be_reset_only_a_new_height_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cost, "_reset_peak", lambda: False)
    _, found = measured(lambda: None, wall=nothing, cpu=nothing)
    assert found.peak_bytes == 0
    monkeypatch.setitem(sys.modules, "resource", None)
    _, found = measured(lambda: None, wall=nothing, cpu=nothing)
    assert found.peak_bytes is None


def test_bytes_of_the_arrays() -> None:
    model = Popularity().fit(DATA)
    assert array_bytes(model) == 60 * 8  # one double an item


def test_answers_are_timed_one_by_one() -> None:
    model = Popularity().fit(DATA)
    # Three answers of 1, 2 and 9 seconds: the middle one is 2, the 99th percentile 2 + 0.98 * 7.
    wall = clock(0.0, 1.0, 1.0, 3.0, 3.0, 12.0)
    found = time_answers(model, DATA.histories.select(np.arange(3)), 5, wall=lambda: next(wall))
    assert found.median_s == 2.0
    assert found.p99_s == pytest.approx(2 + 0.98 * 7)


class Seen(Popularity):
    """Notes what it is fitted on."""

    fitted: "list[Dataset]"

    def fit(self, data: Dataset, **options: object) -> "Seen":
        type(self).fitted = [data]
        return super().fit(data, **options)  # type: ignore[arg-type]


def test_the_warm_up_takes_few_users_and_their_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "WARM_UP_USERS", 2)
    histories = Histories.from_rows([[], [7, 3], [3], [1, 2, 3]])
    data = Dataset(
        [f"u{n}" for n in range(4)],
        [f"i{n}" for n in range(9)],
        histories,
        np.arange(6, dtype=np.float32),
        texts=[f"text {n}" for n in range(9)],
        categories=[[f"c{n}"] for n in range(9)],
        vectors={"v": np.eye(9, dtype=np.float32)},
    )
    warm_up(Seen(), data)
    (some,) = Seen.fitted
    assert (some.user_ids, some.item_ids) == (["u1", "u2"], ["i3", "i7"])
    assert [some.histories.row(user).tolist() for user in range(2)] == [[1, 0], [0]]
    assert some.values.tolist() == [0, 1, 2]
    assert (some.texts, some.categories) == (["text 3", "text 7"], [["c3"], ["c7"]])
    assert some.vectors["v"].argmax(axis=1).tolist() == [3, 7]
