"""Routes for the rights of people: consent, export, tags, transparency."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.cli import main
from nearline.errors import InvalidInput
from nearline.ingest.portable import FORMAT
from nearline.server import create_app

Client = TestClient[Any]
URL = "/v1/users/ann%2F%C3%BC"
HER = "ann/ü"
CANARY = "canary-5f1c"


def fill(client: Client) -> None:
    for n in range(8):
        item = {"text": f"tea number {n % 3}", "categories": [f"c{n % 2}"]}
        assert client.put(f"/v1/items/i{n}", json=item).status_code == 200
    events = [
        {"user_id": HER, "item_id": "i1", "context": {"page": CANARY}},
        {"user_id": HER, "item_id": "i2", "event_id": CANARY, "value": 2.5},
        {"user_id": HER, "item_id": "i2"},
        {"user_id": HER, "item_id": "i2"},
        {"user_id": "bob", "item_id": "i5", "event_id": "not hers", "session_id": "bob's"},
        {"user_id": "bob", "item_id": "i1"},
    ]
    assert client.post("/v1/events", json=events).status_code == 200
    assert client.put(URL, json={"attributes": {"city": CANARY}}).status_code == 200
    said = {"less_of": {"categories": "c1"}, "lasting": True}
    assert client.post(f"{URL}/critiques", json=said).status_code == 200
    shown = client.get(f"{URL}/recommendations").json()
    impressions = {"recommendation_id": shown["recommendation_id"]}
    assert client.post("/v1/impressions", json=impressions).status_code == 200
    chosen = {"profiling": True, "purposes": [CANARY]}
    assert client.put(f"{URL}/consent", json=chosen).status_code == 200


def unpacked(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: json.loads(file.read(name)) for name in file.namelist()}


def rows_of(answer: Any) -> list[tuple[str, Any]]:
    """Items and scores; those of trends fall from one second to the next."""
    return [(one["item_id"], pytest.approx(one["score"], rel=1e-3)) for one in answer["items"]]


def test_consent_is_put_shown_and_followed(client: Client) -> None:
    fill(client)
    before = rows_of(client.get(f"{URL}/recommendations").json())
    assert client.get(f"{URL}/consent").json()["profiling"] is True
    stored = client.put(f"{URL}/consent", json={"profiling": False})
    assert stored.status_code == 200
    assert stored.json()["accepted"] == 1
    found = client.get(f"{URL}/consent").json()
    assert (found["profiling"], found["purposes"]) == (False, [])
    assert found["timestamp"] > 0
    assert client.get(URL).json()["profiling"] is False
    after = rows_of(client.get(f"{URL}/recommendations").json())
    stranger = rows_of(client.get("/v1/users/nobody/recommendations").json())
    assert after == stranger
    assert after != before
    assert client.delete(URL).status_code == 200
    assert client.get(f"{URL}/consent").json()["timestamp"] is None


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"profiling": "false"}, {"profiling": 0}, {"profiling": None}, []),
        {"profiling": True, "purposes": "x"},
        {"profiling": True, "purposes": [""]},
        {"profiling": True, "purposes": [None]},
        {"profiling": True, "purpose": []},
    ],
)
def test_bad_consent_is_refused(client: Client, body: Any) -> None:
    answer = client.put(f"{URL}/consent", json=body)
    assert answer.status_code == 400
    assert client.get(f"{URL}/consent").json()["timestamp"] is None


def test_a_list_without_profiling_is_that_of_a_stranger_for_every_kind_of_request(
    client: Client,
) -> None:
    fill(client)
    for path in ("recommendations", "explanations/i5"):
        hers, strange = (
            client.get(f"/v1/users/{user}/{path}?profiling=false").json()
            for user in (URL.rpartition("/")[2], "nobody")
        )
        assert hers["tier"] == strange["tier"]
        if path == "recommendations":
            assert rows_of(hers) == rows_of(strange)
        else:
            assert hers["score"] == pytest.approx(strange["score"], rel=1e-3)
    for route, body in (
        ("recommendations", {"history": ["i1"]}),
        ("rank", {"item_ids": ["i3", "i5", "i1"]}),
    ):
        hers, strange = (
            client.post(f"/v1/{route}", json=body | {"user_id": user, "profiling": False}).json()
            for user in (HER, "nobody")
        )
        assert rows_of(hers) == rows_of(strange)
    assert client.get(f"{URL}/recommendations?profiling=maybe").status_code == 400


def test_an_export_has_everything_of_the_user_and_nothing_of_others(client: Client) -> None:
    fill(client)
    answer = client.get(f"{URL}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    files = unpacked(answer.content)
    assert [one["item_id"] for one in files["events.json"]] == ["i1", "i2", "i2", "i2"]
    assert files["events.json"][0]["context"] == {"page": CANARY}
    assert files["events.json"][1]["event_id"] == CANARY
    assert files["attributes.json"][0]["attributes"] == {"city": CANARY}
    assert files["consents.json"][0]["purposes"] == [CANARY]
    assert files["critiques.json"][0]["less_of"] == {"categories": "c1"}
    assert len(files["impressions.json"][0]["item_ids"]) == len(files["lists.json"]["now"])
    assert files["profile.json"]["attributes"] == {"city": CANARY}
    assert "bob" not in json.dumps(files)
    assert "not hers" not in json.dumps(files)
    lists = [files["lists.json"]["now"], *(one["items"] for one in files["lists.json"]["shown"])]
    assert len(lists) >= 2
    for line in (line for one in lists for line in one):
        assert sum(part["amount"] for part in line["parts"]) == pytest.approx(line["score"])
    assert client.get("/v1/users/nobody/export").status_code == 404


def test_lists_of_the_served_log_are_explained_and_counted(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with nl.Recommender(store) as rec:
        rec.put_scenario("home", track=True, k=2)
        for user in ("ann", "bob"):
            rec.observe(user, "i1")
            rec.put_item(f"i{user}", text="tea")
        shown = rec.recommend("ann", scenario="home")
        rec.recommend("bob", scenario="home")
        name = shown.answer.recommendation_id
        rec.add_impressions(name)
    with nl.Recommender(store) as rec:  # which remembers no list itself
        files = unpacked(rec.export_user("ann"))
        (one,) = files["lists.json"]["shown"]
        assert one["recommendation_id"] == name
        assert [line["item_id"] for line in one["items"]] == [line.item_id for line in shown]
        for line in one["items"]:
            assert sum(part["amount"] for part in line["parts"]) == pytest.approx(line["score"])
        assert [entry["recommendation_id"] for entry in files["served.json"]] == [name, name]
        lists, records = rec.erase("ann")
        receipt = rec.erasure_receipt("ann", records.result(), lists)
        assert (receipt.lists, receipt.nothing_left) == (2, True)  # the list, and what was seen
        assert rec.read_receipt(receipt.token)["lists"] == 2
        assert len(rec.served.of_user("bob")) == 1
        assert not rec.erasure_receipt("bob", 0).nothing_left
    app = create_app(lambda: nl.Recommender(store))
    with TestClient(app) as other:
        wait_until_ready(other.get)
        assert other.delete("/v1/users/bob").json()["receipt"]["lists"] == 1


def test_an_import_of_an_export_rebuilds_the_history(client: Client, tmp_path: Path) -> None:
    fill(client)
    content = client.get(f"{URL}/export").content
    shown = client.get(URL).json()
    path = tmp_path / "u.zip"
    path.write_bytes(content)
    with nl.Recommender(tmp_path / "store") as rec:
        found = rec.import_user(path)
        assert (found.user_id, found.stored, found.known) == (HER, 8, 0)
        again = rec.import_user(content)  # nothing is stored twice
        assert (again.stored, again.known) == (0, 8)
    run = CliRunner().invoke(main, ["import", "--store", str(tmp_path / "s2"), str(path)])
    assert run.exit_code == 0, run.output
    assert "8 records stored" in run.output
    for name in ("store", "s2"):
        with nl.Recommender(tmp_path / name) as rec:
            user = rec.user(HER)
            assert [(one.item_id, one.timestamp) for one in user.history] == [
                (one["item_id"], one["timestamp"]) for one in shown["history"]
            ]
            assert user.attributes == shown["attributes"]
            files, theirs = unpacked(rec.export_user(HER)), unpacked(content)
            for file in ("events.json", "attributes.json", "consents.json", "critiques.json"):
                assert files[file] == theirs[file]


def zipped(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(f"{name}.json", content)
    return target.getvalue()


MANIFEST = json.dumps({"format": FORMAT, "version": 1, "user_id": "u"}).encode()
EVENT = b'[{"type":"event","user_id":"u","item_id":"i","timestamp":1e9}]'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        zipped(events=EVENT),
        zipped(manifest=b"{}", events=EVENT),
        zipped(manifest=MANIFEST.replace(b"1", b"2"), events=EVENT),
        zipped(manifest=MANIFEST, events=EVENT.replace(b'"u"', b'"v"')),
        zipped(manifest=MANIFEST, events=EVENT.replace(b'"i"', b'""')),
        zipped(manifest=MANIFEST, events=EVENT.replace(b"1e9", b"1e12")),
        zipped(manifest=MANIFEST, events=EVENT.replace(b"event", b"item")),
        zipped(manifest=MANIFEST, events=b"[" * 100_000),
        zipped(manifest=MANIFEST, events=EVENT)[:-30],
        None,  # one that unpacks to more than is allowed; it is made by the test
    ],
)
def test_other_files_are_refused_and_store_nothing(content: bytes | None) -> None:
    if content is None:
        content = zipped(manifest=MANIFEST, events=b" " * 300_000_000)
    with nl.Recommender() as rec:
        with pytest.raises(InvalidInput):
            rec.import_user(content)
        assert rec.offset == 0
        assert rec.import_user(zipped(manifest=MANIFEST, events=EVENT)).stored == 1


def test_tags_are_listed_and_deleted(client: Client) -> None:
    fill(client)
    tags = client.get(f"{URL}/tags").json()["tags"]
    assert [one["tag"] for one in tags] == ["c0", "c1"]
    assert client.delete(f"{URL}/tags/c0").status_code == 200
    assert [one["tag"] for one in client.get(f"{URL}/tags").json()["tags"]] == ["c1"]
    assert client.delete(f"{URL}/tags/%00").status_code == 400
    assert client.get("/v1/users/nobody/tags").json() == {"tags": []}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_transparency_is_json_and_a_page(client: Client, language: str) -> None:
    fill(client)
    found = client.get("/v1/transparency").json()
    assert sum(one["importance"] for one in found["criteria"]) == pytest.approx(1.0)
    assert found["model"] == "untrained"
    page = client.get(f"/v1/transparency?lang={language}", headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert f'<html lang="{language}">' in page.text
    other = client.get(
        "/v1/transparency", headers={"accept": "text/html", "accept-language": f"{language},x"}
    )
    assert other.text == page.text
    meaning = "meaning_zh" if language == "zh" else "meaning"
    assert all(one[meaning] in page.text for one in found["criteria"])
    assert client.get("/v1/transparency?lang=fr").status_code == 400


SETTINGS: list[Callable[[], nl.Config]] = [
    lambda: nl.Config(settings={"search": {"evaluations": 0}, "content": {"weight": 9.0}}),
    lambda: nl.Config(
        model="blend",
        settings={"parts": [{"model": "item_graph"}, {"model": "popularity", "weight": 3.0}]},
    ),
]


@pytest.mark.parametrize("config", SETTINGS)
def test_importances_follow_the_weights_that_serve(config: Callable[[], nl.Config]) -> None:

    table = pa.table({"user_id": list("aabbccdd"), "item_id": list("xyxzyzxz")})
    items = pa.table({"item_id": list("xyz"), "text": ["red tea", "red cup", "tea cup"]})
    with nl.Recommender(config=config()) as rec:
        before = {one.name: one.importance for one in rec.transparency().criteria}
        rec.fit(table, items)
        found = rec.transparency()
        after = {one.name: one.importance for one in found.criteria}
        assert found.model != "untrained"
        assert after != before
        assert sum(after.values()) == pytest.approx(1.0)
        strongest = found.criteria[0].name
        assert strongest in ("content", "popularity", "transitions", "coengagement")


def test_consent_and_tags_on_the_command_line(tmp_path: Path) -> None:
    store = str(tmp_path / "s")
    with nl.Recommender(store) as rec:
        rec.put_item("i", text="x", categories=["tea"])
        rec.observe("u", "i")

    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, [*words, "--store", store, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert run("tags", "u")["tags"] == [{"tag": "tea", "weight": 1.0, "items": 1}]
    assert run("tags", "u", "--delete", "tea")["tags"] == []
    assert run("consent", "u", "--no-profiling", "--purpose", "x")["profiling"] is False
    assert run("consent", "u")["purposes"] == ["x"]
    assert run("user", "u", "--export", str(tmp_path / "u.zip"))["profiling"] is False
    assert zipfile.is_zipfile(tmp_path / "u.zip")
    plain = CliRunner().invoke(main, ["consent", "u", "--store", store])
    assert "no" in plain.stdout
