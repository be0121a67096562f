"""Catalogues and calls that once went wrong, each with its right value."""

import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.cli.running import run, run_json

import nearline as nl
from nearline.errors import InvalidInput


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_02_the_time_of_a_catalogue_is_linear() -> None:
    """Texts share a word. Four times the items took 16 times as long."""

    def cost(n: int) -> float:
        table = pa.table(
            {
                "item_id": [f"i{at}" for at in range(n)],
                "title": [f"thing{at}" for at in range(n)],
                "link": [f"http://shop.example/p/x{at}" for at in range(n)],
            }
        )
        with nl.Recommender() as rec:
            start = time.process_time()
            rec.add(items=table)
            assert rec.n_items == n
            return time.process_time() - start

    cost(50)  # compile
    small, large = cost(700), cost(2_800)
    assert large < 8 * small or large < 1.0


def test_03_repeats_are_counted_and_reported(tmp_path: Path) -> None:
    """Held-out items of the history are counted, and found if lists may contain them."""
    drawn = random.Random(0)
    lines, now, again = ["user_id,item_id,timestamp"], 1_600_000_000, 0
    for user in range(120):
        usual = drawn.sample(range(60), 5)
        taken = [drawn.choice(usual) for _ in range(25)]
        again += taken[-1] in taken[:-1]
        for item in taken:
            now += 60
            lines.append(f"u{user},s{item},{now}")
    path = write(tmp_path, "plays.csv", "\n".join(lines) + "\n")
    said = run("evaluate", path).stdout
    assert f"{again} of 120 held-out items were already in the user's history" in said
    assert again > 100
    model = run_json("evaluate", path, "--include-seen")["models"]["item graph"]
    assert model["n_unreachable"] == 0
    assert model["means"]["hit_rate@10"] > 0.4


def test_04_dropped_rows_of_a_catalogue_are_reported(tmp_path: Path) -> None:
    """The report names the row without an ID and the prices that are no numbers."""
    text = "item_id,title,price\n1,Tea,12.5\n2,Pot,inf\n,Cup,3\n5,Jug,1e30\n6,Jar,2\n"
    found = run_json("import", "--store", tmp_path / "s", "--items", write(tmp_path, "g.csv", text))
    report = found["items_report"]
    assert (report["rows_in"], report["rows_kept"], found["items"]) == (5, 4, 4)
    assert [(one["rows"], one["reason"]) for one in report["dropped"]] == [
        (1, "item_id is missing")
    ]
    with nl.Recommender(tmp_path / "s") as rec:
        assert [rec.item(name).attributes for name in "126"] == [
            {"price": 12.5},
            {},
            {"price": 2.0},
        ]


FILMS = "filmId,title,genres\n1,Dawn,Drama|War\n2,Dusk,Comedy\n"
SEEN = "userId,filmId\na,1\na,2\nb,1\n"


def test_05_columns_of_a_catalogue_can_be_mapped(tmp_path: Path) -> None:
    """The option --column applies to the catalogue too, alone and with interactions."""
    films, seen = write(tmp_path, "films.csv", FILMS), write(tmp_path, "seen.csv", SEEN)
    alone = run_json(
        "import", "--store", tmp_path / "1", "--items", films, "--column", "item_id=filmId"
    )
    assert alone["items"] == 2
    columns = ("--column", "user_id=userId", "--column", "item_id=filmId")
    both = run_json("import", "--store", tmp_path / "2", seen, "--items", films, *columns)
    assert (both["users"], both["items"], both["catalogue_match"]["matched"]) == (2, 2, 2)
    with nl.Recommender() as rec:
        rec.add(seen, films, columns={"user_id": "userId", "item_id": "filmId"})
        assert rec.item("1").categories == ["Drama", "War"]


def test_06_an_index_without_a_name_is_dropped(tmp_path: Path) -> None:
    """The first column, an index without a name, is left out."""
    path = write(tmp_path, "goods.csv", ",item_id,title\n0,a,Tea\n1,b,Pot\n")
    with nl.Recommender() as rec:
        rec.add(items=path)
        item = rec.item("a")
    assert (item.title, item.attributes, item.categories, item.text) == ("Tea", {}, [], "")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.csv",
            'item_id,title,genres\n1,Dawn,"[\'Drama\', \'War\']"\n2,Dusk,"[""Drama""]"\n',
            {"1": ["Drama", "War"], "2": ["Drama"]},
        ),
        (
            "b.csv",
            'item_id,title,genres\n3,Noon,"Drama, War"\n4,Dusk,War\n',
            {"3": ["Drama", "War"], "4": ["War"]},
        ),
        (
            "b.jsonl",
            '{"item_id": "4", "title": "Eve", "genres": [{"id": 1, "name": "Drama"}]}\n',
            {"4": ["Drama"]},
        ),
        (
            "c.jsonl",
            '{"item_id": "5", "title": "Morn", "categories": [["Film", "Drama"]]}\n',
            {"5": ["Film", "Drama"]},
        ),
    ],
)
def test_10_lists_in_text_are_labels(
    tmp_path: Path, name: str, text: str, expected: dict[str, list[str]]
) -> None:
    """Lists in text, lists of objects and nested lists are lists of labels."""
    with nl.Recommender() as rec:
        rec.add(items=write(tmp_path, name, text))
        assert {item: rec.item(item).categories for item in expected} == expected


def test_11_labels_keep_their_column(tmp_path: Path) -> None:
    """The label vegan=yes is not the label alcohol=yes."""
    text = "item_id,vegan,alcohol\n1,yes,no\n2,no,yes\n3,no,no\n4,yes,yes\n"
    with nl.Recommender() as rec:
        rec.add(items=write(tmp_path, "food.csv", text))
        assert rec.item("1").categories == ["vegan=yes", "alcohol=no"]
        listed = {line.item_id for line in rec.recommend("new", category="vegan=yes")}
    assert listed == {"1", "4"}


def test_23_a_text_is_no_list_of_users() -> None:
    """The text 'u12' is refused with the list to write instead."""
    table = pa.table({"user_id": ["u12", "u12", "u3", "u3", "u4"], "item_id": list("xyxyx")})
    with (
        nl.Recommender().fit(table) as rec,
        pytest.raises(InvalidInput, match=r"users is a text; .* list of user ids: \['u12'\]"),
    ):
        rec.recommend_many("u12", k=1)


def test_29_numbers_of_numpy_are_numbers() -> None:
    """A NumPy integer is a valid k."""
    with nl.Recommender() as rec:
        rec.observe("a", "x")
        assert [line.item_id for line in rec.recommend("b", k=np.int64(1))] == ["x"]  # type: ignore[arg-type]


def test_32_commands_keep_seen_items(tmp_path: Path) -> None:
    """The option --include-seen lists items of the history on every command."""
    path = write(tmp_path, "e.csv", "user_id,item_id\na,x\na,y\n")
    run("import", "--store", tmp_path / "s", path)
    new = run_json("recommend", "--store", tmp_path / "s", "a")["items"]
    every = run_json("recommend", "--store", tmp_path / "s", "a", "--include-seen")["items"]
    assert new == []
    assert {line["item_id"] for line in every} == {"x", "y"}
    for command in ("train", "evaluate", "compare", "replay", "demo", "recommend", "export"):
        assert "--include-seen" in run(command, "--help").stdout, command


MODELS = ("implicit_als", "bpr", "ease", "slim", "item_knn", "user_knn", "rp3beta")


@pytest.mark.parametrize("model", MODELS)
def test_34_events_against_items_leave_scores_finite(model: str) -> None:
    """Scores of every model are finite where dislikes are in the data."""
    rng = np.random.default_rng(5)
    kinds, n = ["view", "purchase", "dislike"], 60
    for _ in range(4):
        table = pa.table(
            {
                "user_id": [f"u{k}" for k in rng.integers(0, 8, n)],
                "item_id": [f"i{k}" for k in rng.integers(0, 12, n)],
                "event": [kinds[k] for k in rng.choice(3, n, p=[0.6, 0.3, 0.1])],
                "timestamp": list(range(1_700_000_000, 1_700_000_000 + n)),
            }
        )
        with nl.Recommender(config=nl.Config(model=model)).fit(table) as rec:
            assert all(np.isfinite(line.score) for line in rec.recommend("u1", k=12))
