"""Pseudonyms: no ID of a user reaches the store, and every call works with the plain ID."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.errors import Damaged, InvalidInput
from nearline.server import Security, create_app
from nearline.trust.pseudonyms import KEY_FILE, Pseudonyms

Client = TestClient[Any]
USER = "ann müller/1"
PATH = "/v1/users/ann%20m%C3%BCller%2F1"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    store = tmp_path / "shop"
    app = create_app(
        lambda: Recommender(store),
        keys=tmp_path / "keys",
        security=Security(pseudonyms=True, audit=True),
        log_stream=io.StringIO(),
    )
    with TestClient(app) as client:
        wait_until_ready(client.get)
        yield client


def test_no_id_reaches_the_store(client: Client, tmp_path: Path) -> None:
    for item in ("tea", "pot", "cup"):
        client.put(f"/v1/items/{item}", json={"text": f"{item} green"}).raise_for_status()
    one = {"user_id": USER, "item_id": "tea", "event_id": "e1"}
    assert client.post("/v1/events", json=one).json()["accepted"] == 1
    assert client.post("/v1/events", json=[one, {**one, "event_id": "e2"}]).json() == {
        "accepted": 1,
        "duplicates": 1,
        "offset": 5,
    }
    client.put(PATH, json={"attributes": {"country": "FR"}}).raise_for_status()
    pseudonym = Pseudonyms(tmp_path / "keys").of(USER)
    for _ in range(2):  # computed, and from the cache
        found = client.get(f"{PATH}/recommendations").json()
        assert found["user_id"] == pseudonym
        assert "tea" not in [line["item_id"] for line in found["items"]]
    summary = client.get(PATH).json()
    assert len(summary["history"]) == 2
    assert client.get(f"/v1/users/{pseudonym}").json() == summary  # known, so kept
    ranked = client.post("/v1/rank", json={"user_id": USER, "item_ids": ["pot", "tea"]})
    assert ranked.status_code == 200
    batch = client.post("/v1/recommendations/batch", json={"user_ids": [USER]})
    assert batch.status_code in (200, 404)
    assert client.get(f"/v1/search?q=green&user={USER.replace('/', '%2F')}").status_code == 200
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert "müller".encode() not in path.read_bytes(), path
            assert b"BCller" not in path.read_bytes(), path
    assert client.delete(PATH).json()["erased"] == 3
    assert client.get(PATH).json().get("history", []) == []


def test_what_is_malformed_is_refused_as_before(client: Client) -> None:
    long = "x" * 513
    for path in ("%FF", "%FF/recommendations", long, f"{long}/recommendations?k=3"):
        path = f"/v1/users/{path}"
        assert client.get(path).status_code == 400
    for body in (b"{", b'{"user_id": 1, "item_id": "i"}', b'[{"user_id": ""}]', b'"user_id"'):
        answer = client.post(
            "/v1/events", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, body


def test_pseudonyms(tmp_path: Path) -> None:
    made = Pseudonyms(tmp_path)
    assert made.of("u") == Pseudonyms(tmp_path).of("u") == made.of(made.of("u"))
    assert len({made.of("u"), made.of("v"), made.of("u", "a"), made.of("", "u")}) == 4
    forged = made.of("u")[:-1] + ("0" if made.of("u")[-1] != "0" else "1")
    assert made.of(forged) != forged
    assert Pseudonyms(tmp_path / "other").of("u") != made.of("u")
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(Damaged, match="restore"):
        Pseudonyms(tmp_path)
    with pytest.raises(InvalidInput, match="folder"):
        create_app(Recommender, security=Security(pseudonyms=True))
