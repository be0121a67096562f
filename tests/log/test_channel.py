"""Processes that follow the log of another one, here in two recommenders of one process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import nearline as nl
from nearline.errors import InvalidInput, LogUnavailable, StorageFailed
from nearline.log import FollowedLog, LogChannel, following

PATIENCE = 60.0


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.002)


def event(user: int, item: int, at: float = 0.0) -> nl.Event:
    return nl.Event(user_id=f"u{user}", item_id=f"i{item}", timestamp=1e9 + at)


@contextmanager
def pair(folder: Path) -> Iterator[tuple[nl.Recommender, nl.Recommender, LogChannel]]:
    with nl.Recommender(folder / "store") as writer:
        first = [event(n % 9, 7 * n % 60, n) for n in range(200)]
        writer.append_events(first).result()
        channel = writer.offer_channel(folder / "log.socket", lambda _process, _body: None)
        try:
            with following(folder / "log.socket"):
                reader = nl.Recommender(folder / "store")
            try:
                yield writer, reader, channel
            finally:
                reader.close()
        finally:
            channel.close()


def log_of(reader: nl.Recommender) -> FollowedLog:
    log, _ = reader._log_and_state()
    assert isinstance(log, FollowedLog)
    return log


def check_same(writer: nl.Recommender, reader: nl.Recommender) -> None:
    until(lambda: reader.stamp == writer.stamp is not None)
    for user in range(10):
        lists = [rec.recommend(f"u{user}", k=10) for rec in (writer, reader)]
        rows = [[(line.item_id, line.score, line.tier) for line in found] for found in lists]
        assert rows[0] == rows[1]
    assert [one.n_users for one in (writer, reader)] == [writer.n_users] * 2


def test_a_follower_has_the_same_answers_after_all_kinds_of_changes(tmp_path: Path) -> None:
    with pair(tmp_path) as (writer, reader, _):
        check_same(writer, reader)
        writer.observe("u1", "new")
        writer.put_item("texted", title="tea", text="green tea")
        check_same(writer, reader)
        writer.forget("u2").result()
        writer.observe("u2", "i3")  # a new visit after the erasure
        writer.append_events([event(3, 4)]).result()
        check_same(writer, reader)
        assert reader.user("u2") is not None
        assert writer.append_events([event(5, 6)]).result().offset
        writer.fit()
        until(lambda: reader.model_id == writer.model_id)
        writer.observe("u1", "i3")
        check_same(writer, reader)
        assert reader.unready is None


def test_erasures_of_events_that_were_never_read_are_left_out(tmp_path: Path) -> None:
    """A burst of events and erasures: the reader reads some records only when they are erased."""
    with pair(tmp_path) as (writer, reader, _):
        done = []
        for n in range(60):
            writer.append_events([event(100 + n, n % 20, 1_000 + n)]).result()
            done.append(writer.forget(f"u{100 + n}"))
        for future in done:
            future.result()
        check_same(writer, reader)


def test_a_user_with_more_records_than_are_erased_at_once(tmp_path: Path) -> None:
    with pair(tmp_path) as (writer, reader, _):
        many = [event(1, n % 20, 2_000 + n) for n in range(1_200)]
        writer.append_events(many).result()
        writer.forget("u1").result()
        check_same(writer, reader)


def test_a_follower_writes_nothing(tmp_path: Path) -> None:
    with pair(tmp_path) as (_, reader, _channel):
        with pytest.raises(StorageFailed, match="reading only"):
            reader.observe("u1", "i1")
        with pytest.raises(StorageFailed):
            reader.forget("u1")
    assert not (tmp_path / "store" / ".state.checkpoint.tmp").exists()


def test_a_follower_fails_when_the_writer_ends(tmp_path: Path) -> None:
    with pair(tmp_path) as (_, reader, channel):
        failed = threading.Event()
        log_of(reader).on_failure = failed.set
        channel.close()
        assert failed.wait(PATIENCE)
        assert isinstance(log_of(reader).failure, LogUnavailable)
        assert "restart" in str(reader.unready)
        assert reader.recommend("u1", k=3)  # goes on answering


def test_a_follower_fails_if_an_erasure_overtakes_it(tmp_path: Path) -> None:
    with pair(tmp_path) as (_, reader, _channel):
        log = log_of(reader)
        log._erasures += 1  # as if the file had another erasure than the listener was told
        list(log.read())
        assert isinstance(log.failure, LogUnavailable)
        log._erasures -= 1


def test_lists_of_a_reader_are_known_to_the_writer(tmp_path: Path) -> None:
    with pair(tmp_path) as (writer, reader, _):
        reader.report_to_writer(lambda: b"", lambda: None)
        answer = reader.recommend("u1", k=3).answer
        until(lambda: writer._recent.get(answer.recommendation_id))
        assert writer.add_impressions(answer.recommendation_id) == 3


def test_only_stores_in_a_writable_folder_have_a_channel(tmp_path: Path) -> None:
    with nl.Recommender() as memory, pytest.raises(InvalidInput, match="without --workers"):
        memory.offer_channel(tmp_path / "log.socket", lambda _process, _body: None)


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    nl.Recommender(tmp_path / "store").close()
    with (
        following(tmp_path / "none.socket"),
        pytest.raises(LogUnavailable, match="cannot be reached"),
    ):
        nl.Recommender(tmp_path / "store")
