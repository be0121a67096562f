"""Reading of a topic from a real broker: each message once, also if connector or broker end."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from litestar.testing import TestClient

import nearline as nl
from nearline.adapters.kafka import KafkaSource
from nearline.errors import DataNotFound, InvalidInput, NearlineError, SourceFailed
from nearline.ingest.connector import Connector
from nearline.log import open_log, url_of
from nearline.schema import Event
from nearline.server import create_app
from nearline.testing.servers import KafkaServer
from nearline.testing.servers.base import wait_until

pytestmark = pytest.mark.servers
NOW = 1_700_000_000.0
PARTITIONS = (0, 1, 2)


def values(n: int, start: int = 0) -> list[bytes]:
    """Messages of which every tenth is no event."""
    return [
        b"poison"
        if number % 10 == 9
        else json.dumps({"user_id": f"u{number % 7}", "item_id": f"i{number}"}).encode()
        for number in range(start, start + n)
    ]


def item_ids(rec: nl.Recommender) -> list[str]:
    records = rec._current.open().log.read()
    return [record.item_id for _, record in records if isinstance(record, Event)]


def expected(n: int) -> list[str]:
    return sorted(f"i{number}" for number in range(n) if number % 10 != 9)


@pytest.fixture
def rec() -> Iterator[nl.Recommender]:
    with nl.Recommender(clock=lambda: NOW) as opened:
        yield opened


def test_reads_all_partitions_and_continues(kafka_server: KafkaServer, rec: nl.Recommender) -> None:
    url = kafka_server.create("all", 3)
    kafka_server.send("all", values(50), partitions=PARTITIONS)
    done = rec.ingest(url, follow=False, batch=7)
    assert (done.messages, done.events, done.quarantined) == (50, 45, 5)
    assert done.positions == {"0": 17, "1": 17, "2": 16}
    assert sum(done.lag.values()) == 0
    kafka_server.send("all", values(10, 50), partitions=PARTITIONS, key=b"k")
    done = rec.ingest(url, follow=False)
    assert (done.messages, done.events) == (10, 9)
    assert sorted(item_ids(rec)) == expected(60)
    assert {one.key for one in rec.quarantine.messages()} == {None, b"k"}
    assert rec.ingest(url, follow=False, restart=True).duplicates == 54
    assert len(rec.quarantine.messages()) == 6


def test_from_the_end_and_large_messages(kafka_server: KafkaServer, rec: nl.Recommender) -> None:
    url = kafka_server.create("large")
    large = [b'{"user_id": "u", "item_id": "%s"}' % (b"x" * 10_000_000), *values(1)]
    kafka_server.send("large", large)
    done = rec.ingest(url, follow=False)
    assert (done.events, done.quarantined) == (1, 1)
    (one,) = rec.quarantine.messages()
    assert (one.size, len(one.value)) == (len(large[0]), 1_000_000)


def test_a_connector_that_follows(kafka_server: KafkaServer, rec: nl.Recommender) -> None:
    url = kafka_server.create("live")
    kafka_server.send("live", values(5))
    running: list[Connector] = []
    thread = Thread(target=rec.ingest, args=(url,), kwargs={"started": running.append})
    thread.start()
    try:
        wait_until(lambda: len(item_ids(rec)) == 5, "the first messages")
        kafka_server.send("live", values(4, 5))
        wait_until(lambda: len(item_ids(rec)) == 9, "the other messages")
    finally:
        wait_until(lambda: bool(running), "the connector")
        running[0].stop()
        thread.join()
    assert rec.ingested["kafka:live"].messages == 9


def test_a_topic_that_was_created_again(kafka_server: KafkaServer, rec: nl.Recommender) -> None:
    url = kafka_server.create("again")
    kafka_server.send("again", values(3))
    rec.ingest(url, follow=False)
    kafka_server.delete("again")
    with pytest.raises(SourceFailed, match="again"):
        rec.ingest(url, follow=False)
    kafka_server.create("again")
    kafka_server.send("again", values(3))
    with pytest.raises(SourceFailed, match="another one"):
        rec.ingest(url, follow=False)
    assert rec.ingest(url, follow=False, name="second").events == 3


def test_errors(kafka_server: KafkaServer, rec: nl.Recommender) -> None:
    with pytest.raises(SourceFailed, match="cannot be read"):
        rec.ingest(f"kafka://{kafka_server.address}/missing", follow=False)
    for settings in ({"no.such.setting": "1"}, {"enable.auto.commit": "true"}):
        with pytest.raises(InvalidInput, match="set"):
            KafkaSource("kafka://127.0.0.1:1/t", settings=settings)
    with pytest.raises(InvalidInput, match="such"):
        KafkaSource("kafka://127.0.0.1:1/t?no.such.setting=1")


def test_no_broker(rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearline.adapters.kafka.METADATA_SECONDS", 0.5)
    logging.getLogger("nearline.kafka").propagate = False
    with pytest.raises(SourceFailed, match="no broker"):
        rec.ingest("kafka://127.0.0.1:1/topic", follow=False)


def test_a_broker_that_is_frozen(kafka_server: KafkaServer, rec: nl.Recommender) -> None:
    """The client waits, and goes on once the broker does."""
    url = kafka_server.create("frozen")
    kafka_server.send("frozen", values(20))
    running: list[Connector] = []
    kwargs = {"started": running.append, "batch": 3}
    thread = Thread(target=rec.ingest, args=(url,), kwargs=kwargs)
    thread.start()
    try:
        wait_until(lambda: len(item_ids(rec)) == 18, "the first messages")
        kafka_server.freeze()
        try:
            assert rec.recommend("u1", k=1)
        finally:
            kafka_server.thaw()
        kafka_server.send("frozen", values(10, 20))
        wait_until(lambda: len(item_ids(rec)) == 27, "the other messages")
    finally:
        kafka_server.thaw()
        wait_until(lambda: bool(running), "the connector")
        running[0].stop()
        thread.join()
    assert sorted(item_ids(rec)) == expected(30)


def test_a_server_reads_a_topic_while_it_serves(
    kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearline.jobs.ingesting.RETRY_SECONDS", 0.05)
    url = f"kafka://{kafka_server.address}/served"
    with nl.Recommender(clock=lambda: NOW) as rec:
        rec.ingest_in_background(url)  # the topic is missing, and opened again until it is there
        kafka_server.create("served")
        kafka_server.send("served", values(20))
        wait_until(lambda: len(item_ids(rec)) == 18, "the messages")
        with TestClient(create_app(lambda: rec)) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, "the server")
            text = client.get("/metrics").text
        assert (
            'nearline_source_messages_total{outcome="quarantined",source="kafka:served"} 2' in text
        )
        assert 'nearline_source_lag{source="kafka:served"} 0' in text
    with pytest.raises(InvalidInput):
        rec.ingest_in_background("http://host/")


def offset_of(store: Path) -> int:
    try:
        with open_log(url_of(store / "log.db"), read_only=True) as log:
            return log.end
    except (DataNotFound, NearlineError):
        return 0


def test_a_connector_that_is_killed(kafka_server: KafkaServer, tmp_path: Path) -> None:
    """Kill -9 while it writes; each message is in the log or in the quarantine, once."""
    url = kafka_server.create("killed", 3)
    n, store = 3_000, tmp_path / "store"
    kafka_server.send("killed", values(n), partitions=PARTITIONS)
    command = [sys.executable, "-m", "nearline.cli", "ingest", url, "--store", str(store)]
    more = ["--until-end", "--batch", "5"]
    for share in (0.2, 0.5):
        process = subprocess.Popen(
            [*command, *more], env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def reached(target: float = share * n) -> bool:
            assert process.poll() is None, "it ended before it could be killed"  # noqa: B023
            return offset_of(store) > target

        wait_until(reached, "the ingest")
        process.kill()
        process.wait()
    with nl.Recommender(store) as rec:
        done = rec.ingest(url, follow=False)
        assert 0 < done.messages < n
        assert sorted(item_ids(rec)) == expected(n)
        assert len(rec.quarantine.messages(limit=n)) == n // 10
