"""Figures, shops and the slope of memory, by hand."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nearline.bench.mixed import slope
from nearline.bench.picture import draw
from nearline.bench.plan import Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import write_events, write_items
from nearline.errors import InvalidInput


def test_a_target_is_an_upper_or_a_lower_bound() -> None:
    assert figure("p99", "ms", 3.0, at_most=3.0).met is True
    assert figure("p99", "ms", 3.1, at_most=3.0).met is False
    assert figure("rate", "1/s", 6.0, at_least=6.0).met is True
    assert figure("rate", "1/s", 5.9, at_least=6.0).met is False
    assert figure("rate", "1/s", 5.9).met is None


def test_repeats_become_median_smallest_and_largest(tmp_path: Path) -> None:
    values = iter([3.0, 1.0, 8.0])
    told: list[tuple[int, int, str]] = []
    plan = Plan(folder=tmp_path, repeats=3, progress=lambda *step: told.append(step))
    (found,) = repeated(plan, "reads", lambda: [figure("p50", "ms", next(values), at_most=4.0)])
    assert (found.value, found.low, found.high, found.met) == (3.0, 1.0, 8.0, True)
    assert told[-1] == (3, 3, "reads")
    report = ScenarioReport(figures=[found], notes=["a"])
    assert report["p50"] == 3.0
    assert report.as_dict()["figures"] == [
        {
            "name": "p50",
            "unit": "ms",
            "value": 3.0,
            "low": 1.0,
            "high": 8.0,
            "target": 4.0,
            "bound": "<=",
            "met": True,
        }
    ]


def test_the_slope_is_that_of_the_line_after_the_warm_up() -> None:
    # 2 MB a minute for ten minutes, behind a warm-up of two minutes that rises by 500 MB.
    points = [(float(s), 500.0 * min(1.0, s / 120) + 2 * s / 60) for s in range(601)]
    assert slope(points) == pytest.approx(2.0)
    assert slope(points[:1]) == 0.0


def test_a_shop_has_the_requested_size_and_is_reproducible(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, users=50, items=300, history=8, seed=3)
    count = write_events(tmp_path / "a.parquet", plan)
    write_events(tmp_path / "b.parquet", plan)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.equals(pq.read_table(tmp_path / "b.parquet"))
    assert table.num_rows == count
    assert set(table["user_id"].to_pylist()) == {f"u{n}" for n in range(50)}
    assert set(table["item_id"].to_pylist()) == {f"i{n}" for n in range(300)}
    assert pc.all(pc.greater(pc.pairwise_diff(table["timestamp"].combine_chunks()), 0)).as_py()


def test_items_of_a_cluster_share_words(tmp_path: Path) -> None:
    write_items(tmp_path / "items.parquet", Plan(folder=tmp_path, items=150))
    rows = pq.read_table(tmp_path / "items.parquet").to_pylist()
    assert [row["item_id"] for row in rows] == [f"i{n}" for n in range(150)]
    kinds = [row["title"].split()[0] for row in rows]
    assert kinds == ["kind0"] * 100 + ["kind1"] * 50


@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_curves_are_drawn(tmp_path: Path, name: str) -> None:
    report = ScenarioReport(
        figures=[], curves={"users": [(1.0, 2.0), (10.0, 3.0)]}, axes=("x", "y")
    )
    draw(report, tmp_path / name, "scale")
    assert (tmp_path / name).stat().st_size > 1_000


def test_a_picture_that_cannot_be_drawn_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.png or \.svg"):
        draw(ScenarioReport(figures=[]), tmp_path / "a.gif", "x")
    with pytest.raises(InvalidInput, match="no picture"):
        draw(ScenarioReport(figures=[]), tmp_path / "a.png", "x")
    with pytest.raises(InvalidInput, match="no folder"):
        draw(ScenarioReport(figures=[]), tmp_path / "no" / "a.png", "x")
