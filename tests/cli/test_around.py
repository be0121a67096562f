"""The commands around items answer as Python does."""

from pathlib import Path

import msgspec
from tests.cli.running import run, run_json

import nearline as nl


def test_commands_equal_python(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store) as rec:
        for item, title, price in (("a", "Green tea", 3), ("b", "Black tea", 5), ("c", "Cup", 9)):
            rec.put_item(item, title=title, attributes={"price": price})
        for user, item in (("u", "a"), ("v", "a"), ("v", "c")):
            rec.observe(user, item)
        expected = {
            ("search", "te"): rec.search("te"),
            ("search", "tea", "--filter", "price > 3"): rec.search("tea", filter="price > 3"),
            ("popular", "-k", "2"): rec.popular(2),
            ("trending",): rec.trending(),
        }
        people = rec.audience("b")
        listed = list(rec.items(filter="price < 9"))
        users = list(rec.users())
    for command, lines in expected.items():
        name, *rest = command
        # The decayed counts of trending items depend on the time of the command.
        own = run_json(name, "--store", store, *rest)["items"]
        plain = msgspec.to_builtins(lines)
        assert [line["item_id"] for line in own] == [line["item_id"] for line in plain]
        if name != "trending":
            assert own == plain
    assert run_json("audience", "--store", store, "b")["users"] == msgspec.to_builtins(people)
    page = run_json("items", "--store", store, "--filter", "price < 9")
    assert page == {"items": msgspec.to_builtins(listed), "next": None}
    assert run_json("users", "--store", store)["users"] == msgspec.to_builtins(users)


def test_pages_and_tables_on_the_command_line(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store) as rec:
        for name in "abc":
            rec.put_item(name, title=f"Item {name}")
            rec.observe(f"user-{name}", name)
    first = run("items", "--store", store, "-k", "2")
    assert "Item b" in first.stdout
    cursor = first.stdout.split("--cursor ")[1].strip()
    assert "Item c" in run("items", "--store", store, "--cursor", cursor).stdout
    assert "user-c" in run("users", "--store", store).stdout
    assert "Item a" in run("search", "--store", store, "item").stdout
    wrong = run("users", "--store", store, "--cursor", cursor)
    assert wrong.exit_code == 1
    assert "cursor" in wrong.stderr
