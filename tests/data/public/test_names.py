"""Data sets by name, and the folders in which they are searched."""

from pathlib import Path

import pytest

from nearline.data import load_dataset, read_interactions
from nearline.data.public import DATASETS
from nearline.data.public.base import cache_folder
from nearline.errors import DataNotFound, InvalidInput


def test_the_error_for_an_unknown_name_suggests_a_similar_one() -> None:
    with pytest.raises(InvalidInput, match=r"known are movielens-100k, .*Did you mean 'movielens"):
        load_dataset("movielens100k")
    with pytest.raises(InvalidInput, match=r"synthetic$"):
        load_dataset("qqq")


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    for name in DATASETS[:-1]:
        with pytest.raises(DataNotFound, match="check the path"):
            load_dataset(name, tmp_path / "nowhere")


def test_amazon_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_DATA", str(tmp_path))
    with pytest.raises(DataNotFound, match=r"NEARLINE_DATA/amazon-toys"):
        load_dataset("amazon-toys")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder("here") == Path("here")
    monkeypatch.setenv("NEARLINE_CACHE", "/there")
    assert cache_folder(None) == Path("/there")
    monkeypatch.delenv("NEARLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder(None) == Path("/xdg/nearline")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(None) == Path.home() / ".cache" / "nearline"


def test_synthetic_by_name() -> None:
    data = load_dataset("synthetic")
    assert data.interactions.num_rows == 30_000
    assert read_interactions(data.interactions).equals(data.interactions)


@pytest.mark.parametrize(
    ("name", "users", "items", "events"),
    [
        ("amazon-beauty", 22_363, 12_101, 198_502),
        ("amazon-toys", 19_412, 11_924, 167_597),
    ],
)
def test_amazon(
    real_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    users: int,
    items: int,
    events: int,
) -> None:
    monkeypatch.setenv("NEARLINE_DATA", str(real_data))
    data = load_dataset(name)
    assert data.interactions.num_rows == events
    assert len(set(data.interactions["user_id"].to_pylist())) == users
    assert len(data.items) == items
    first = data.interactions.slice(0, 3)
    assert first["timestamp"].to_pylist() == [0.0, 1.0, 2.0]
    assert all(item.text for item in data.items[:100])
