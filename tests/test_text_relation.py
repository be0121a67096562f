"""The language relation through the engine: a tiny model's vectors become edges, at once."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.engine.shop import catalogue, clock, shop
from tests.server.serving import wait_until_ready
from tests.tiny_bert import naive_vector, random_weights, tokens, write_bert

import nearline as nl
from nearline.common.progress import Progress
from nearline.deployment.texts import open_texts
from nearline.encoders.base import Floats
from nearline.encoders.transformer import Transformer
from nearline.errors import EncoderFailed, InvalidInput, MissingExtra, UnknownItem
from nearline.models.item_graph.model import ItemGraph
from nearline.server import Gateway, create_app
from nearline.testing.inspector import inspect

RELATION = "vector:language"
BEFORE = ("transitions", "coengagement", "content", "projected")
QUICK = nl.Config(settings={"search": {"evaluations": 0}})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEARLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_bert(tmp_path / "model"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that any encoder of this process was asked for."""
    asked: list[str] = []
    encode = Transformer.encode

    def spy(self: Transformer, texts: list[str], progress: Progress) -> Floats:
        asked.extend(texts)
        return encode(self, texts, progress)

    monkeypatch.setattr(Transformer, "encode", spy)
    return asked


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def graph_of(rec: nl.Recommender) -> ItemGraph:
    graph = inspect(rec).model
    assert isinstance(graph, ItemGraph)
    return graph


def edges(rec: nl.Recommender, item_id: str) -> dict[str, float]:
    """Language edges of an item, their scale taken out."""
    graph, items = graph_of(rec), inspect(rec).state.items
    rows = graph._store.rows(RELATION)
    row = slice(*rows.indptr[items[item_id] :][:2])
    table = items.table()
    values = rows.weights[row] / np.float32(graph._content._factors[RELATION])
    return {table[i]: float(v) for i, v in zip(rows.items[row], values, strict=True)}


def expected(text: str, others: dict[str, str]) -> dict[str, float]:
    """Cubed cosines of the written-out network, where they are above zero."""
    weights = random_weights()
    mine = naive_vector(weights, tokens(text))
    found = {
        name: float(mine @ naive_vector(weights, tokens(other))) for name, other in others.items()
    }
    return {name: cosine**3 for name, cosine in found.items() if cosine > 0}


def encoder_of(rec: nl.Recommender) -> str:
    snapshot = inspect(rec).snapshot
    assert snapshot is not None
    return snapshot.manifest.encoder


def texts_of(rec: nl.Recommender) -> dict[str, str]:
    return {f"{item}": rec.item(item).content for item in catalogue()["item_id"].to_pylist()}


def test_vectors_of_texts_are_a_relation(model: str) -> None:
    with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        assert graph_of(rec).relations == (*BEFORE, RELATION)
        others = texts_of(rec)
        assert edges(rec, "tea-0") == pytest.approx(expected(others.pop("tea-0"), others), abs=1e-5)


def test_a_new_item_has_its_edges_at_once(model: str, encoded: list[str]) -> None:
    with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        encoded.clear()
        rec.put_item("new", text="green mint cup")
        assert encoded == ["green mint cup"]
        assert edges(rec, "new") == pytest.approx(
            expected("green mint cup", texts_of(rec)), abs=0.05
        )  # among vectors of eight bits
        rec.patch_item("new", {"text": "the white cup"})
        assert encoded == ["green mint cup", "the white cup"]
        assert edges(rec, "new") == pytest.approx(
            expected("the white cup", texts_of(rec)), abs=0.05
        )
        rec.put_items([rec.item("new"), rec.item("tea-0")]).result()
        assert len(encoded) == 2
        rec.delete_item("new").result()
        assert edges(rec, "new") == {}
        assert "new" not in edges(rec, "tea-0")


def test_nothing_is_encoded_twice(
    tmp_path: Path, model: str, cache: Path, encoded: list[str]
) -> None:
    for _ in range(2):
        with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
            rec.fit(shop(), items=catalogue())
    assert len(encoded) == len(set(encoded)) == 9
    assert (cache / "vectors.db").exists()
    encoded.clear()
    with nl.Recommender(tmp_path / "shop", encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        rec.fit()
    assert len(encoded) == 9
    assert (tmp_path / "shop" / "vectors.db").exists()


@pytest.mark.parametrize("cached", [True, False])
def test_a_restart_has_the_same_edges(
    tmp_path: Path, model: str, encoded: list[str], cached: bool
) -> None:
    store = tmp_path / "shop"
    with nl.Recommender(store, encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        for text in ("mint leaves", "mint cup"):
            rec.put_item("new", text=text)
        rec.put_item("other", text="cup of tea")
        before = edges(rec, "new"), edges(rec, "other"), edges(rec, "tea-1")
    if not cached:
        for file in store.glob("vectors.db*"):
            file.unlink()
    encoded.clear()
    with nl.Recommender(store, encoder=model, config=QUICK, clock=clock) as rec:
        assert (edges(rec, "new"), edges(rec, "other"), edges(rec, "tea-1")) == before
    assert encoded == ([] if cached else ["mint leaves", "mint cup", "cup of tea"])


@pytest.mark.usefixtures("forked_jobs")
def test_a_training_in_another_process_uses_the_encoder(tmp_path: Path, model: str) -> None:
    with nl.Recommender(tmp_path / "shop", encoder=model, config=QUICK, clock=clock) as rec:
        rec.add(shop(), catalogue())
        rec.put_item("new", text="mint cup")
        job = rec.jobs.wait(rec.train().id, 60)
        assert job.state == "done", job.message
        assert graph_of(rec).relations == (*BEFORE, RELATION)
        before = edges(rec, "new")
        assert before == pytest.approx(expected("mint cup", texts_of(rec)), abs=1e-5)
        rec.put_item("late", text="black leaves")
        late, trained_on = edges(rec, "late"), encoder_of(rec)
        assert rec.jobs.wait(rec.merge().id, 60).state == "done"
        assert edges(rec, "late") == pytest.approx(late)
        assert encoder_of(rec) == trained_on != ""


def test_an_encoder_that_fails_does_not_stop_items(
    model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())

        def fail(*_: object) -> Floats:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(Transformer, "encode", fail)
        with caplog.at_level(logging.WARNING):
            rec.put_item("new", text="mint tea leaves")
        assert "out of memory" in caplog.text
        assert rec.texts_missed == 1
        assert edges(rec, "new") == {}
        assert rec.similar("new", 3)[0].item_id == "tea-2"  # by its words
        # What had a vector must not keep that of its old text.
        rec.put_item("tea-0", text="unheard of")
        assert edges(rec, "tea-0") == {}


def test_what_was_missed_is_encoded_beside_serving(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [clock()]
    store = tmp_path / "shop"
    with nl.Recommender(store, encoder=model, config=QUICK, clock=lambda: now[0]) as rec:
        rec.fit(shop(), items=catalogue())
        with monkeypatch.context() as patch:
            patch.setattr(Transformer, "encode", lambda *_: 1 / 0)
            rec.put_item("new", text="mint tea leaves")
            rec.put_item("gone", text="mint cup")
            rec.delete_item("gone").result()
            rec.put_item("later", text="black tea", available=False, vectors={"look": [0.5, 1.0]})
            until(rec.jobs.list)
            assert rec.jobs.wait("embed-1", 30).state == "failed"
        assert (edges(rec, "new"), rec.texts_missed) == ({}, 3)
        rec.observe("somebody", "tea-1")
        assert len(rec.jobs.list()) == 1  # not with every write
        now[0] += 60.0
        rec.observe("somebody", "tea-2")
        until(lambda: len(rec.jobs.list()) > 1)
        done = rec.jobs.wait("embed-2", 30)
        assert (done.state, done.result) == ("done", {"items": 2}), done.message
        others = {**texts_of(rec), "later": "black tea"}
        # Of vectors in eight bits.
        assert edges(rec, "new") == pytest.approx(expected("mint tea leaves", others), abs=5e-3)
        assert not rec.item("later").available
        assert rec.item("later").vectors == {"look": [0.5, 1.0]}
        now[0] += 60.0
        rec.observe("somebody", "tea-3")
        assert rec.jobs.list()[0] == done  # nothing is missed now
        again = rec.jobs.wait(rec.embed().id, 30)
        assert again.result == {"items": 0}
        before = edges(rec, "new")
    with nl.Recommender(store, encoder=model, config=QUICK, clock=lambda: now[0]) as rec:
        assert edges(rec, "new") == before


def test_what_changed_while_it_was_encoded_stays(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        with monkeypatch.context() as patch:
            patch.setattr(Transformer, "encode", lambda *_: 1 / 0)
            rec.put_item("new", text="mint tea leaves")
        encode = Transformer.encode

        def slow(self: Transformer, texts: list[str], progress: Progress) -> Floats:
            monkeypatch.undo()
            rec.delete_item("new").result()
            return encode(self, texts, progress)

        monkeypatch.setattr(Transformer, "encode", slow)
        assert rec.jobs.wait(rec.embed().id, 30).result == {"items": 0}
        with pytest.raises(UnknownItem):
            rec.item("new")


def test_without_an_encoder_there_is_nothing_to_embed() -> None:
    with nl.Recommender() as rec, pytest.raises(InvalidInput, match="no encoder"):
        rec.embed()


def test_an_encoder_that_fails_stops_a_training_and_no_import(
    model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Floats:
        raise EncoderFailed("no answer")

    with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
        monkeypatch.setattr(Transformer, "encode", fail)
        with caplog.at_level(logging.WARNING):
            rec.add(shop(), catalogue())
        assert "no answer" in caplog.text
        assert (rec.item("tea-0").content, rec.texts_missed) == ("green tea leaves teas", 9)
        with pytest.raises(EncoderFailed):
            rec.fit()


def test_a_column_of_that_name_is_refused(model: str) -> None:
    items = pa.table({"item_id": ["shoe-0"], "text": ["red"], "language": [[1.0, 2.0]]})
    with (
        nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec,
        pytest.raises(InvalidInput, match="rename the column"),
    ):
        rec.fit(shop(), items=items)


def test_without_texts_there_is_no_relation(model: str, encoded: list[str]) -> None:
    with nl.Recommender(encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop())
        assert RELATION not in graph_of(rec).relations
    assert encoded == []


@pytest.fixture
def client(model: str) -> Iterator[TestClient[Gateway]]:
    rec = nl.Recommender(encoder=model, config=QUICK, clock=clock)
    rec.fit(shop(), items=catalogue())
    with TestClient(create_app(lambda: rec)) as test_client:
        wait_until_ready(test_client.get)
        yield test_client


def test_over_http(client: TestClient[Gateway], encoded: list[str]) -> None:
    entry = {"text": "mint cup"}
    assert client.put("/v1/items/new", json=entry).status_code == 200
    assert client.post("/v1/items", json=[{"item_id": "x", "text": "cup"}]).status_code == 200
    assert client.patch("/v1/items/x", json={"text": "the cup"}).status_code == 200
    assert encoded == ["mint cup", "cup", "the cup"]
    similar = client.get("/v1/items/new/similar").json()["items"]
    assert "x" in {line["item_id"] for line in similar}
    assert "nearline_texts_missed_total 0.0" in client.get("/metrics").text
    assert client.post("/v1/jobs", json={"kind": "embed"}).json()["kind"] == "embed"


def test_another_encoder_than_that_of_the_model_is_not_mixed_in(
    tmp_path: Path, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, other = tmp_path / "shop", str(write_bert(tmp_path / "other", seed=1))
    with nl.Recommender(store, encoder=model, config=QUICK, clock=clock) as rec:
        rec.fit(shop(), items=catalogue())
        before = edges(rec, "tea-0")
    with (
        caplog.at_level(logging.WARNING),
        nl.Recommender(store, encoder=other, config=QUICK, clock=clock) as rec,
    ):
        assert "another encoder" in caplog.text
        rec.put_item("new", text="mint cup")
        assert edges(rec, "new") == {}
        assert edges(rec, "tea-0") == before
        rec.fit()
        assert len(edges(rec, "new")) > 0
    caplog.clear()
    with (
        caplog.at_level(logging.WARNING),
        nl.Recommender(store, config=QUICK, clock=clock) as rec,
    ):
        assert caplog.text == ""
        rec.put_item("late", text="mint cup")
        assert "open it with encoder=" in caplog.text
        assert edges(rec, "late") == {}


def test_names_lead_to_the_adapters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = open_texts(nl.Config(encoder="http://127.0.0.1:9/v1#m"), tmp_path / "v.db")
    assert found is not None
    assert type(found.encoder).__name__ == "EmbeddingsEndpoint"
    found.close()
    monkeypatch.setenv("NEARLINE_ENCODER", "sentence_transformers:any")
    with pytest.raises(MissingExtra, match="sentence-transformers"):
        open_texts(nl.Config(encoder="auto"), tmp_path / "v.db")
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "nearline.adapters.embeddings", raising=False)
    with pytest.raises(MissingExtra, match=r"nearline\[llm\]"):
        open_texts(nl.Config(encoder="http://127.0.0.1:9/v1#m"), tmp_path / "v.db")
