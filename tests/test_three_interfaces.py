"""One story through Python, HTTP and the command line: the same lists at every step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import pyarrow as pa
import pytest
from pyarrow import csv
from tests.cli.running import run_json
from tests.server.serving import LiveServer, start_server, stop_server

import nearline as nl

USER = "new/ü"
Lines = list[tuple[str, float]]


def interactions() -> pa.Table:
    """Twenty people walk through ten shoes, twenty through ten teas, from different starts."""
    rows = [
        (f"{kind}-{person}", f"{kind}-{(person + step) % 10}", 1.5e9 + 1000.0 * person + step)
        for kind in ("shoe", "tea")
        for person in range(20)
        for step in range(6)
    ]
    users, items, times = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def items() -> pa.Table:
    colours = ["red", "blue", "green", "black", "white", "pink", "grey", "brown", "gold", "mint"]
    return pa.table(
        {
            "item_id": [f"{kind}-{n}" for kind in ("shoe", "tea") for n in range(10)],
            "text": [f"{colour} {kind} shop" for kind in ("shoe", "tea") for colour in colours],
        }
    )


class Interface(Protocol):
    """What the story does, by whatever way in."""

    def learn(self) -> str: ...
    def recommend(self) -> Lines: ...
    def event(self, item: str, timestamp: float) -> None: ...
    def new_item(self, item: str, text: str) -> None: ...
    def similar(self, item: str) -> Lines: ...
    def explain(self, item: str) -> list[tuple[str, str, float]]: ...
    def close(self) -> None: ...


def lines(found: list[dict[str, Any]]) -> Lines:
    return [(line["item_id"], line["score"]) for line in found]


def parts(found: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(part["source"], part["relation"], part["amount"]) for part in found["parts"]]


class Python:
    def __init__(self, folder: Path) -> None:
        self.rec = nl.Recommender(folder / "store")

    def learn(self) -> str:
        return self.rec.fit(interactions(), items=items(), seed=3).model_id

    def recommend(self) -> Lines:
        return [(line.item_id, line.score) for line in self.rec.recommend(USER, k=8)]

    def event(self, item: str, timestamp: float) -> None:
        self.rec.observe(USER, item, timestamp=timestamp)

    def new_item(self, item: str, text: str) -> None:
        self.rec.put_item(item, text=text)

    def similar(self, item: str) -> Lines:
        return [(line.item_id, line.score) for line in self.rec.similar(item, k=5)]

    def explain(self, item: str) -> list[tuple[str, str, float]]:
        return parts(msgspec.to_builtins(self.rec.explain(USER, item)))

    def close(self) -> None:
        self.rec.close()


class CommandLine:
    """Each command opens the store and closes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, *arguments: str) -> Any:
        return run_json(command, "--store", self.folder / "store", *arguments)

    def load(self, table: pa.Table, *, catalogue: bool = False) -> None:
        path = self.folder / "table.csv"
        csv.write_csv(table, path)
        self.run("import", *(["--items", str(path)] if catalogue else [str(path)]))

    def learn(self) -> str:
        self.load(items(), catalogue=True)
        self.load(interactions())
        model: str = self.run("train", "--seed", "3")["model"]
        return model

    def recommend(self) -> Lines:
        return lines(self.run("recommend", USER, "-k", "8")["items"])

    def event(self, item: str, timestamp: float) -> None:
        self.load(pa.table({"user_id": [USER], "item_id": [item], "timestamp": [timestamp]}))

    def new_item(self, item: str, text: str) -> None:
        self.load(pa.table({"item_id": [item], "text": [text]}), catalogue=True)

    def similar(self, item: str) -> Lines:
        return lines(self.run("similar", item, "-k", "5")["items"])

    def explain(self, item: str) -> list[tuple[str, str, float]]:
        return parts(self.run("explain", USER, item))

    def close(self) -> None:
        """Nothing is open between two commands."""


class Http:
    """A store trained on the command line, then served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: LiveServer | None = None
        self.path = f"/v1/users/{'new%2F%C3%BC'}"

    def learn(self) -> str:
        model = CommandLine(self.folder).learn()
        self.server = start_server(self.folder)
        self.http = httpx.Client(base_url=self.server.url, timeout=120.0)
        return model

    def get(self, path: str, **query: int) -> Any:
        return self.http.get(path, params=query).raise_for_status().json()

    def recommend(self) -> Lines:
        return lines(self.get(f"{self.path}/recommendations", k=8)["items"])

    def event(self, item: str, timestamp: float) -> None:
        event = {"user_id": USER, "item_id": item, "timestamp": timestamp}
        self.http.post("/v1/events", json=event).raise_for_status()

    def new_item(self, item: str, text: str) -> None:
        self.http.put(f"/v1/items/{item}", json={"text": text}).raise_for_status()

    def similar(self, item: str) -> Lines:
        return lines(self.get(f"/v1/items/{item}/similar", k=5)["items"])

    def explain(self, item: str) -> list[tuple[str, str, float]]:
        return parts(self.get(f"{self.path}/explanations/{item}"))

    def close(self) -> None:
        if self.server is not None:
            self.http.close()
            assert stop_server(self.server) == 0


@pytest.fixture
def interfaces(tmp_path: Path) -> Iterator[list[Interface]]:
    folders = [tmp_path / name for name in ("python", "cli", "http")]
    for folder in folders:
        folder.mkdir()
    found: list[Interface] = [Python(folders[0]), CommandLine(folders[1]), Http(folders[2])]
    yield found
    for interface in found:
        interface.close()


def test_three_interfaces_tell_one_story(interfaces: list[Interface]) -> None:
    assert len({interface.learn() for interface in interfaces}) == 1

    def same(told: list[Any]) -> Any:
        assert told[0] == told[1] == told[2]
        return told[0]

    stranger = same([interface.recommend() for interface in interfaces])
    assert len(stranger) == 8
    for interface in interfaces:
        interface.event("tea-2", 1.6e9)
    tea = same([interface.recommend() for interface in interfaces])
    assert tea[0][0] == "tea-3"
    for interface in interfaces:
        interface.event("shoe-5", 1.6e9 + 1000)
    both = same([interface.recommend() for interface in interfaces])
    assert both[0][0] == "shoe-6"
    for interface in interfaces:
        interface.new_item("shoe-new", "pink shoe shop")
    fresh = same([interface.recommend() for interface in interfaces])
    assert "shoe-new" in [item for item, _ in fresh]
    why = same([interface.explain("shoe-new") for interface in interfaces])
    assert sum(amount for _, _, amount in why) == pytest.approx(dict(fresh)["shoe-new"], abs=1e-6)
    assert {relation for _, relation, _ in why} == {"content"}
    near = same([interface.similar("shoe-new") for interface in interfaces])
    assert near[0][0] == "shoe-5"
