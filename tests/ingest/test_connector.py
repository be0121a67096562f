"""The connector, with a source in memory: each message once, whatever fails in between."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.errors import InvalidInput, SourceFailed, StorageFailed
from nearline.ingest import quarantine as quarantine_module
from nearline.ingest.connector import Connector, Ingested
from nearline.ingest.event_maps import EventMap, Mapper
from nearline.ingest.quarantine import Quarantine
from nearline.log import Appended
from nearline.schema import Event
from nearline.schema.sources import Message

NOW = 1_700_000_000.0


class ListSource:
    """Source of messages in memory: one list for each partition."""

    name, endless, unit = "list", False, "messages"
    identity: Mapping[str, str] = {"list": "1"}

    def __init__(self, partitions: Mapping[str, Sequence[bytes | None]], fail_at: int = -1) -> None:
        self.partitions, self.fail_at = partitions, fail_at
        self.at: dict[str, int] = {}
        self.polls = 0

    def open(self, positions: Mapping[str, int], identity: Mapping[str, str]) -> None:
        if identity and identity != self.identity:
            raise SourceFailed("another list")
        self.at = {name: positions.get(name, 0) for name in self.partitions}

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        self.polls += 1
        if self.polls == self.fail_at:
            raise SourceFailed("the source is gone")
        found: list[Message] = []
        for name, values in self.partitions.items():
            start = self.at[name]
            for at in range(start, min(len(values), start + limit - len(found))):
                found.append(Message(name, at, at + 1, values[at]))
                self.at[name] = at + 1
        return found

    @property
    def caught_up(self) -> bool:
        return not any(self.lag().values())

    def lag(self) -> dict[str, int]:
        return {name: len(values) - self.at[name] for name, values in self.partitions.items()}

    def close(self) -> None:
        pass


def line(number: int, user: str = "u") -> bytes:
    return b'{"user_id": "%s", "item_id": "i%d", "timestamp": 5}' % (user.encode(), number)


def events_in(rec: nl.Recommender) -> list[Event]:
    records = rec._current.open().log.read()
    return [record for _, record in records if isinstance(record, Event)]


@pytest.fixture
def rec() -> Iterator[nl.Recommender]:
    with nl.Recommender(clock=lambda: NOW) as opened:
        yield opened


def test_reads_everything_once_and_continues(rec: nl.Recommender) -> None:
    values: list[bytes | None] = [line(0), b"poison", None, line(1)]
    done = rec.ingest(ListSource({"a": values, "b": [line(2)]}), batch=2)
    assert done == Ingested(
        "list",
        messages=5,
        events=3,
        skipped=1,
        quarantined=1,
        positions={"a": 4, "b": 1},
        lag={"a": 0, "b": 0},
    )
    assert rec.sources() == {"list": {"a": 4, "b": 1}}
    assert rec.ingested["list"] is done
    more = rec.ingest(ListSource({"a": [*values, line(3)], "b": [line(2)]}))
    assert (more.messages, more.events) == (1, 1)
    assert [one.item_id for one in events_in(rec)] == ["i0", "i1", "i2", "i3"]
    again = rec.ingest(ListSource({"a": values, "b": [line(2)]}), restart=True)
    assert (again.events, again.duplicates) == (0, 3)


def test_what_was_quarantined_can_be_replayed(rec: nl.Recommender) -> None:
    wrong = [b'{"who": "u", "item_id": "i%d"}' % n for n in range(3)]
    rec.ingest(ListSource({"a": [*wrong, b"{"]}))
    found = rec.quarantine.messages()
    assert [(one.position, one.value, one.at) for one in found[:2]] == [
        (0, wrong[0], NOW),
        (1, wrong[1], NOW),
    ]
    assert "user_id is missing" in found[0].reason
    assert [n for _, _, n in rec.quarantine.counts()] == [3, 1]
    assert rec.replay_quarantine().events == 0
    done = rec.replay_quarantine("list", fields={"user_id": "who"})
    assert (done.messages, done.events, done.quarantined) == (4, 3, 1)
    assert [one.event_id for one in events_in(rec)] == ["list/a/0", "list/a/1", "list/a/2"]
    assert [one.value for one in rec.quarantine.messages()] == [b"{"]
    assert (rec.quarantine.drop("other"), rec.quarantine.drop("list")) == (0, 1)
    assert rec.quarantine.messages() == []


def test_positions_and_events_are_one_append(rec: nl.Recommender, tmp_path: Path) -> None:
    """Whatever prefix of the log survives, the positions are those of its events."""
    values = [line(n) for n in range(10)]
    rec.ingest(ListSource({"a": values}), batch=3)
    parts = rec._current.open()
    read, positions = 0, 0
    for _, record in parts.log.read():
        if isinstance(record, Event):
            read += 1
        else:
            positions = record.body["positions"]["a"]  # type: ignore[union-attr]
            assert positions == read
    assert positions == 10


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from("evp"), max_size=12),
    ends=st.lists(st.integers(1, 4), max_size=4),
    batch=st.integers(1, 4),
)
def test_interrupted_anywhere(kinds: list[str], ends: list[int], batch: int) -> None:
    """A source that fails at some calls gives the same events as one that never does."""
    values = [
        {"e": line(n), "v": None, "p": b"poison %d" % n}[kind] for n, kind in enumerate(kinds)
    ]
    with nl.Recommender(clock=lambda: NOW) as rec:
        for end in ends:
            with suppress(SourceFailed):
                rec.ingest(ListSource({"a": values}, fail_at=end), batch=batch)
        rec.ingest(ListSource({"a": values}), batch=batch)
        expected = [f"list/a/{n}" for n, kind in enumerate(kinds) if kind == "e"]
        assert [one.event_id for one in events_in(rec)] == expected
        poison = [n for n, kind in enumerate(kinds) if kind == "p"]
        assert [one.position for one in rec.quarantine.messages()] == poison


class FailingLog:
    """Log that refuses some appends, and stores others without an acknowledgement."""

    def __init__(self, log: Any, failures: list[str]) -> None:
        self._log, self.failures = log, failures

    def append(self, records: Sequence[Any]) -> Future[Appended]:
        failure = self.failures.pop(0) if records and self.failures else ""
        if failure == "raise":
            raise StorageFailed("no space")
        future: Future[Appended] = Future()
        if failure == "refuse":
            future.set_exception(StorageFailed("no space"))
            return future
        stored = self._log.append(records)
        if failure == "lose":
            stored.result()
            future.set_exception(StorageFailed("the connection was lost"))
            return future
        return stored  # type: ignore[no-any-return]


@settings(deadline=None)
@given(failures=st.lists(st.sampled_from(["", "raise", "refuse", "lose"]), max_size=6))
def test_a_log_that_fails_is_tried_again(failures: list[str]) -> None:
    with nl.Recommender(clock=lambda: NOW) as rec:
        parts = rec._current.open()
        log: Any = FailingLog(parts.log, list(failures))
        connector = Connector(
            ListSource({"a": [line(n) for n in range(6)]}),
            Mapper(EventMap(), "list"),
            log,
            parts.state,
            Quarantine(None),
            lambda: NOW,
            wait=lambda _: None,
        )
        connector.run(follow=False, batch=2)
        assert [one.item_id for one in events_in(rec)] == [f"i{n}" for n in range(6)]
        assert rec.sources() == {"list": {"a": 6}}


def test_a_stopped_connector_does_not_try_again(rec: nl.Recommender) -> None:
    parts = rec._current.open()
    log: Any = FailingLog(parts.log, ["refuse"] * 100)
    connector = Connector(
        ListSource({"a": [line(0)]}),
        Mapper(EventMap(), "list"),
        log,
        parts.state,
        Quarantine(None),
        lambda: NOW,
        wait=lambda _: connector.stop(),
    )
    with pytest.raises(StorageFailed):
        connector.run(follow=True)
    assert rec.sources() == {}


def test_a_full_quarantine_stops_the_connector(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_module, "MAX_MESSAGES", 2)
    with pytest.raises(SourceFailed, match="quarantine has 2 messages"):
        rec.ingest(ListSource({"a": [b"x", b"y", b"z"]}), batch=1)
    assert rec.sources() == {"list": {"a": 2}}


def test_another_source_of_the_same_name(rec: nl.Recommender) -> None:
    rec.ingest(ListSource({"a": [line(0)]}))
    other = ListSource({"a": [line(0)]})
    other.identity = {"list": "2"}
    with pytest.raises(SourceFailed):
        rec.ingest(other)
    assert rec.ingest(other, restart=True).duplicates == 1


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0"])
def test_names(rec: nl.Recommender, name: str) -> None:
    source = ListSource({"a": []})
    source.name = name
    with pytest.raises(InvalidInput, match="1 to 200 bytes"):
        rec.ingest(source)
    with pytest.raises(InvalidInput, match="batch"):
        rec.ingest(ListSource({}), batch=0)


def test_positions_survive_and_the_erased_leave_the_quarantine(tmp_path: Path) -> None:
    escaped = b'{"user_id": "\\u0061nn", "item_id": 1.5}'
    values = [line(0, "ann"), b'{"user": "ann"}', escaped, b'{"user": "bob"}', b'{"user": "b\\"']
    with nl.Recommender(tmp_path / "store", clock=lambda: NOW) as rec:
        rec.ingest(ListSource({"a": values}))
    with nl.Recommender(tmp_path / "store", clock=lambda: NOW) as rec:
        assert rec.sources() == {"list": {"a": 5}}
        assert rec.ingest(ListSource({"a": values})).messages == 0
        assert rec.forget("ann").result() == 1
        assert [one.position for one in rec.quarantine.messages()] == [3, 4]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").glob("quarantine*"))
    assert b"ann" not in kept
    assert b"bob" in kept


def test_a_message_that_was_cut_off_stays(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_module, "KEPT_BYTES", 3)
    rec.ingest(ListSource({"a": [b"poison"]}))
    (one,) = rec.quarantine.messages()
    assert (one.value, one.size) == (b"poi", 6)
    assert rec.replay_quarantine(mapping={"kinds": {}}).quarantined == 1
    rec.forget("someone").result()
    assert rec.quarantine.messages() == []
