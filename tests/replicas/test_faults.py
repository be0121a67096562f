"""Servers of a shared log while the database is killed, and while they or it stop answering."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from litestar.testing import TestClient
from tests.replicas.digest import SECONDS
from tests.server.serving import wait_until_ready

from nearline.deployment import status
from nearline.engine import Recommender
from nearline.errors import Closed, Damaged, InvalidInput, LogUnavailable
from nearline.log import open_log
from nearline.log.base import SharedLog
from nearline.log.codec import KINDS
from nearline.log.postgres import writer
from nearline.schema import Event, Item
from nearline.server import create_app
from nearline.testing.log_case import Listener, append, event
from nearline.testing.servers import PostgresServer, postgres
from nearline.testing.servers.base import wait_until

pytestmark = pytest.mark.servers
SCHEMAS = count()
_WRITE = """
import sys
from nearline.log import open_log
from nearline.schema import Event
log = open_log(sys.argv[1])
for n in range(10**9):
    log.append([Event(user_id="frozen", item_id="i", timestamp=1.0)]).result()
    print(n, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that these tests may kill."""
    with postgres(15) as own:
        yield own


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    yield server.url(schema=f"faults{next(SCHEMAS)}")
    if server.process is None:  # after a failure
        server.start()
    server.thaw()


def opened(url: str) -> SharedLog:
    log = open_log(url)
    assert isinstance(log, SharedLog)
    return log


class Sender(threading.Thread):
    """Appends events one by one, and repeats each until it is acknowledged."""

    def __init__(self, log: SharedLog, name: str, done: threading.Event) -> None:
        super().__init__(daemon=True)
        self.log, self.sender, self.done = log, name, done
        self.acknowledged: list[str] = []
        self.errors: list[BaseException] = []

    def run(self) -> None:
        for number in count():
            if self.done.is_set():
                return
            mine = event(self.sender, event_id=f"{self.sender}-{number}")
            while True:
                try:
                    self.log.append([mine]).result(SECONDS)
                except LogUnavailable:
                    continue
                except BaseException as error:
                    self.errors.append(error)
                    return
                break
            self.acknowledged.append(f"{self.sender}-{number}")


def test_no_event_is_lost_or_doubled_when_the_database_is_killed(
    server: PostgresServer, url: str
) -> None:
    logs, done = [opened(url) for _ in range(3)], threading.Event()
    listeners = [Listener() for _ in logs]
    for log, listener in zip(logs, listeners, strict=True):
        log.listen(listener.on_commit, listener.on_erase)
    senders = [Sender(log, f"w{n}", done) for n, log in enumerate(logs)]
    for sender in senders:
        sender.start()
    for _ in range(3):
        before = [len(sender.acknowledged) for sender in senders]
        wait_until(
            lambda before=before: all(  # type: ignore[misc]
                len(s.acknowledged) > b + 20 or s.errors
                for s, b in zip(senders, before, strict=True)
            ),
            "writes",
        )
        server.kill()
        server.start()
    done.set()
    for sender in senders:
        sender.join(SECONDS)
        assert sender.errors == []
    ends = [append(log).offset for log in logs]
    assert len(set(ends)) == 1
    stored = list(logs[0].read())
    assert [offset for offset, _ in stored] == list(range(ends[0]))
    ids = [record.event_id for _, record in stored if isinstance(record, Event)]
    assert len(set(ids)) == len(ids)
    assert sorted(ids, key=str) == sorted(s for one in senders for s in one.acknowledged)
    for log, listener in zip(logs, listeners, strict=True):
        wait_until(lambda log=log: log.behind == 0, "the follower")  # type: ignore[misc]
        assert listener.seen == stored
        log.close()


def test_a_frozen_writer_does_not_stop_others(url: str) -> None:
    with opened(url) as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITE, url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            for _ in range(5):
                assert process.stdout.readline()
                process.send_signal(19)  # SIGSTOP
                for number in range(20):
                    assert append(log, event(f"u{number}")).accepted == 1
                process.send_signal(18)  # SIGCONT
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_follower_misses_nothing_where_one_by_sequence_does(
    server: PostgresServer, url: str
) -> None:
    """An open transaction hides a smaller number of a sequence; the lock of the head does not."""
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("CREATE TABLE IF NOT EXISTS sequence_log (id bigserial)")
    with psycopg.connect(server.url()) as slow, psycopg.connect(server.url()) as fast:
        slow.execute("INSERT INTO sequence_log DEFAULT VALUES")
        fast.execute("INSERT INTO sequence_log DEFAULT VALUES")
        fast.commit()
        seen = [row[0] for row in fast.execute("SELECT id FROM sequence_log ORDER BY id")]
        slow.commit()
        seen += [r[0] for r in fast.execute("SELECT id FROM sequence_log WHERE id > %s", seen[-1:])]
        every = [row[0] for row in fast.execute("SELECT id FROM sequence_log ORDER BY id")]
    assert seen != every  # missed
    with opened(url) as follower:
        listener = Listener()
        follower.listen(listener.on_commit, listener.on_erase)
        logs = [opened(url) for _ in range(8)]
        done = threading.Event()
        senders = [Sender(log, f"w{n}", done) for n, log in enumerate(logs)]
        for sender in senders:
            sender.start()
        wait_until(lambda: all(len(s.acknowledged) > 25 for s in senders), "writes")
        done.set()
        for sender in senders:
            sender.join(SECONDS)
        append(follower)
        assert listener.seen == list(follower.read())
        assert len(listener.seen) == sum(len(sender.acknowledged) for sender in senders)
        for log in logs:
            log.close()


def test_reads_go_on_without_the_database(
    server: PostgresServer, url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("nearline.log.postgres.connections.CONNECT_SECONDS", 1)
    store = f"{url}&folder={tmp_path}"
    body = {"user_id": "u1", "item_id": "i1", "event_id": "e"}
    app = create_app(lambda: Recommender(store))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        assert client.post("/v1/events", json={**body, "event_id": "first"}).status_code == 200
        for stop, resume in ((server.kill, server.start), (server.freeze, server.thaw)):
            if stop is server.freeze:
                monkeypatch.setattr("nearline.log.postgres.connections.ANSWER_SECONDS", 0.3)
            stop()
            refused = client.post("/v1/events", json=body)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["type"] == "urn:nearline:problem:log-unavailable"
            answer = client.get("/v1/users/u1/recommendations")
            assert answer.status_code == 200
            assert client.get("/v1/users/u1").json()["history"]
            assert client.get("/readyz").status_code == 200
            resume()
            monkeypatch.setattr("nearline.log.postgres.connections.ANSWER_SECONDS", 10.0)

            def stored() -> bool:
                return client.post("/v1/events", json=body).status_code == 200

            wait_until(stored, "the database")
        assert client.post("/v1/events", json=body).json()["duplicates"] == 1


def forget_the_last(url: str, server: PostgresServer) -> None:
    """Do to a log what restoring an older backup does."""
    schema = url.partition("schema=")[2].partition("&")[0]
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute(f"SET search_path TO {schema}")
        db.execute("DELETE FROM log WHERE place = (SELECT max(place) FROM log)")
        db.execute("UPDATE head SET next_place = next_place - 1")
        db.execute("UPDATE servers SET sequence = sequence - 1")


def test_a_log_that_went_back_is_refused(server: PostgresServer, url: str) -> None:
    with opened(url) as log:
        append(log, event("a"))
        append(log, event("b"))
        forget_the_last(url, server)
        wait_until(lambda: log.failure is not None, "a heartbeat")
        assert isinstance(log.failure, Damaged)
        with pytest.raises(Closed, match="older copy"):
            log.append([event("c")])


def test_a_server_that_is_behind_or_has_stopped_is_not_ready(
    server: PostgresServer, url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recommender(f"{url}&folder={tmp_path}") as engine, opened(url) as other:
        assert engine.unready is None
        with engine._current.deployment.state.lock:  # the listener waits
            monkeypatch.setattr(status, "MOST_BEHIND", 5)
            append(other, *(event(f"u{n}") for n in range(9)))
            wait_until(lambda: engine.unready is not None, "the follower")
            assert "9 records" in str(engine.unready)
        wait_until(lambda: engine.unready is None, "the follower")
        forget_the_last(url, server)
        wait_until(lambda: engine.unready is not None, "a heartbeat")
        assert "restart" in str(engine.unready)
        assert engine.popular() != []


def test_a_kind_of_record_that_an_older_server_cannot_read_is_refused(
    server: PostgresServer, url: str
) -> None:
    schema = url.partition("schema=")[2].partition("&")[0]
    older = [kind for kind in KINDS if kind != "item"]
    item: Item = Item(item_id="i", timestamp=1.0)
    with opened(url) as log, psycopg.connect(server.url(), autocommit=True) as db:
        db.execute(
            f"INSERT INTO {schema}.servers (id, version, kinds, place, erasures) "
            "VALUES (gen_random_uuid(), '0', %s, 0, 0)",
            (older,),
        )

        def refused() -> bool:
            try:
                append(log, item)
            except InvalidInput as error:
                return "'item' cannot be stored yet" in str(error)
            return False

        wait_until(refused, "a heartbeat")
        assert append(log, event("a")).accepted == 1
        db.execute(f"DELETE FROM {schema}.servers WHERE version = '0'")
        wait_until(lambda: not refused(), "a heartbeat")
