"""The file of settings: what it sets, what is refused, and what has priority."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.running import run, run_json

import nearline as nl
from nearline.config import Config, read_settings, with_settings_of
from nearline.errors import DataNotFound, InvalidInput
from nearline.state import StateConfig

FILE = """
repeats = "auto"
similar_users = 2
search = 7
model = "popularity"

[weights]
Purchase = 9

[state]
history_length = 50
event_weights = {cart = 4}

[llm]
base_url = "http://127.0.0.1:1/v1"
model = "small"

[limits]
in_flight = 5

[scenarios.home]
k = 3

[rules.top]
pin = {item_id = "i1", position = 1}
scenario = "home"
until = 2030-01-01
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "nearline.toml").write_text(FILE)
    return tmp_path


def test_the_file_sets_what_the_configuration_leaves_at_its_default(store: Path) -> None:
    config = with_settings_of(store, Config(similar_users=3, state=StateConfig(history_length=60)))
    assert (config.repeats, config.similar_users, config.search) == ("auto", 3, 7)
    assert config.state.history_length == 60
    assert config.state.event_weights == {"cart": 4.0, "Purchase": 9.0}
    assert config.llm is not None
    assert (config.llm.model, config.model) == ("small", "popularity")
    assert config.scenarios == {"home": {"k": 3}}
    assert with_settings_of(store, config) == config
    assert with_settings_of(store, Config(file="")) == Config(file="")
    assert with_settings_of(None, Config()) == Config(file="")
    assert with_settings_of(store / "none", Config()) == Config(file="")


def test_another_file_can_be_named(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("search = 2")
    assert with_settings_of(store, Config(file=str(other))).search == 2
    with pytest.raises(DataNotFound, match=r"missing\.toml"):
        with_settings_of(store, Config(file=str(tmp_path / "missing.toml")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serch = 1", "'serch' is no setting; did you mean 'search'"),
        ("[weight]\na = 1", "did you mean 'weights'"),
        ("[state]\nhistory = 1", r"'state\.history' is no setting; did you mean 'history_length'"),
        ("[llm]\nurl = 'x'", r"'llm\.url' is no setting"),
        ("file = 'x.toml'", "'file' is no setting"),
        ("search = 'many'", "search"),
        ("repeats = 'often'", "repeats is 'often'"),
        ("memory = 5", "memory"),
        ("[weights]\na = 'much'", r"\[weights\]"),
        ("[state]\nhistory_length = 0", "history_length"),
        ("[scenarios.home]\nk = 0", r"scenarios\.home: k is 0"),
        ("[scenarios.home]\nlength = 5", r"scenarios\.home: 'length' is no field"),
        ("[rules.top]\nscenario = 'home'", r"rules\.top: a rule has exactly one"),
        ("scenarios = 5", "scenarios"),
        ("limits = 5", "limits is 5"),
        ("search = ", "not valid TOML"),
        ("\xff", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_stored(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "nearline.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=message):
        nl.Recommender(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["nearline.toml"]


def test_definitions_to_start_with_are_stored_once(store: Path) -> None:
    with nl.Recommender(store, config=Config(llm=None)) as rec:
        assert rec.scenarios() == [{"name": "home", "k": 3}]
        assert rec.rules()[0]["until"] == 1_893_456_000.0
        rec.put_scenario("home", k=4)
        rec.delete_rule("top")
        offset = rec.offset
    with nl.Recommender(store) as rec:
        assert (rec.scenarios(), rec.rules()) == ([{"name": "home", "k": 4}], [])
        assert rec.offset == offset
    with nl.Recommender(config=Config(scenarios={"a": {"k": 1}}, file="")) as rec:
        rec.fit(_table())
        assert rec.scenarios() == [{"name": "a", "k": 1}]


def _table() -> Any:
    import pyarrow as pa

    return pa.table({"user_id": ["u", "v"], "item_id": ["i", "i"]})


def test_config_check_shows_what_the_file_sets(store: Path, tmp_path: Path) -> None:
    found = run_json("config", "check", "--store", store)
    assert found["file"] == str(store / "nearline.toml")
    shown = {"repeats": "auto", "state.history_length": 50, "limits.in_flight": 5}
    assert found["settings"].items() >= shown.items()
    assert "is valid" in run("config", "check", "--store", store).stdout
    wrong = tmp_path / "wrong.toml"
    for text, message in (
        ("serch = 1", "did you mean 'search'"),
        ("[limits]\nin_fligth = 3", "did you mean 'in_flight'"),
        ("[limits]\nin_flight = 'x'", "in_flight"),
        ("model = 'itemgraph'", "itemgraph"),
    ):
        wrong.write_text(text)
        result = run("config", "check", "--config", wrong)
        assert (result.exit_code, message in result.stderr) == (1, True), result.stderr
    assert run("config", "check").exit_code == 2
    missing = run("config", "check", "--store", tmp_path / "none")
    assert (missing.exit_code, "there is no folder" in missing.stderr) == (1, True)
    (tmp_path / "bare").mkdir()
    assert "defaults hold" in run("config", "check", "--store", tmp_path / "bare").stdout


def test_options_have_priority_over_the_file(store: Path) -> None:
    (store / "events.csv").write_text("user_id,item_id\nu,a\nu,b\nv,a\nv,b\nw,a\n")
    (store / "nearline.toml").write_text("model = 'popularity'\nsearch = 0\n[weights]\nview = 2\n")
    shop = store / "shop"
    shop.mkdir()
    (shop / "nearline.toml").write_text("model = 'popularity'\n[weights]\nview = 2\n")
    run_json("import", "--store", shop, store / "events.csv")
    by_file = run_json("train", "--store", shop)
    listed = json.loads(run("snapshots", "--store", shop, "--json").stdout)["snapshots"]
    assert [one["model"] for one in listed] == ["popularity"]
    by_option = run_json("train", "--store", shop, "--model", "item_knn")
    assert by_option["model"] != by_file["model"]
    listed = json.loads(run("snapshots", "--store", shop, "--json").stdout)["snapshots"]
    assert listed[-1]["model"] == "item_knn"
    other = store / "other.toml"
    other.write_text("serch = 1")
    result = run("recommend", "--store", shop, "u", "--config", other)
    assert (result.exit_code, "did you mean" in result.stderr) == (1, True)
    assert read_settings(shop, None).config["model"] == "popularity"
