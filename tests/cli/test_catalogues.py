"""Imports of catalogues: mappings, dropped rows and cells, and IDs that do not match."""

import re
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

from nearline import Recommender


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text("filmId,title,genres\n1,Dawn,Drama|War\n2,Dusk,Comedy\n")
    return path


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    path = tmp_path / "seen.csv"
    path.write_text("userId,filmId\na,1\na,2\nb,1\n")
    return path


def titles(store: Path) -> list[str]:
    with Recommender(store) as engine:
        return [engine.item(item_id).title for item_id in ("1", "2")]


def test_columns_of_a_catalogue_without_interactions_are_mapped(
    tmp_path: Path, films: Path
) -> None:
    store = tmp_path / "store"
    found = run_json("import", "--store", store, "--items", films, "--column", "item_id=filmId")
    assert found["items_report"]["rows_kept"] == 2
    assert titles(store) == ["Dawn", "Dusk"]


def test_one_mapping_applies_to_both_tables(tmp_path: Path, films: Path, seen: Path) -> None:
    store = tmp_path / "store"
    mapping = ["--column", "user_id=userId", "--column", "item_id=filmId"]
    found = run_json("import", "--store", store, seen, "--items", films, *mapping)
    assert (found["report"]["rows_kept"], found["items_report"]["rows_kept"]) == (3, 2)
    assert titles(store) == ["Dawn", "Dusk"]


def test_tables_with_different_names_are_mapped_separately(
    tmp_path: Path, films: Path, seen: Path
) -> None:
    store = tmp_path / "store"
    seen.write_text(seen.read_text().replace("filmId", "seenFilm"))
    mapping = ["--column", "user_id=userId", "--column", "item_id=seenFilm"]
    mapping += ["--item-column", "item_id=filmId", "--item-column", "text=genres"]
    found = run_json("import", "--store", store, seen, "--items", films, *mapping)
    assert found["items_report"]["columns"]["genres"] == "text"
    assert titles(store) == ["Dawn", "Dusk"]


def test_python_maps_both_tables_and_reports_both(films: Path, seen: Path) -> None:
    columns = {"user_id": "userId", "item_id": "filmId", "text": "genres"}
    with Recommender() as engine:
        report = engine.add(seen, films, columns=columns)
        assert report is not None
        assert report.items is not None
        assert (report.rows_kept, report.items.rows_kept) == (3, 2)
        assert engine.item("1").text == "Drama|War"
    with Recommender() as engine:
        report = engine.add(items=films, columns={"item_id": "filmId"})
        assert report is not None
        assert report.rows_kept == 2


def test_rows_and_cells_that_are_dropped_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    path.write_text("item_id,title,price\n1,Tea,12.5\n2,Pot,inf\n,Cup,3\n5,Jug,1e30\n6,Jar,2\n")
    output = run("import", "--store", tmp_path / "store", "--items", path).stdout
    assert "Catalogue: 5 rows read, 4 kept, 1 dropped" in output
    assert "item_id is missing (row 2: item_id=None, title='Cup', price=3.0)" in output
    assert "2  attributes.price is invalid; the item is kept without it (row 1: inf" in output


def test_ids_that_do_not_match_are_reported(tmp_path: Path) -> None:
    events, goods = tmp_path / "events.csv", tmp_path / "goods.csv"
    events.write_text("user_id,item_id\nu,108\nu,109\nu,7\nv,8\n")
    goods.write_text("item_id,title\n0108,Tea\n0109,Pot\n7,Jug\n")
    output = run("import", "--store", tmp_path / "store", events, "--items", goods).stdout
    assert "1 of 4 items in the events are in the catalogue, which has 3 items." in output
    found = re.search(r"Found only in the events: (.+)\.", output)
    assert found is not None
    assert sorted(found[1].split(", ")) == ["'108'", "'109'", "'8'"]
    assert re.search(r"'(10[89])' in the events may be '0\1' in the catalogue", output)
