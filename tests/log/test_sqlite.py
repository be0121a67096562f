"""The SQLite log: contract tests in a file and in memory, and tests of the file."""

import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Signal

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import Damaged, DataNotFound, InvalidInput, StorageFailed, StoreInUse
from nearline.log import MEMORY, SQLiteLog, tables, url_of
from nearline.log.codec import user_key
from nearline.schema import Erased, Event, Item, Record
from nearline.testing.log_case import WAIT, Listener, append, erase, event
from nearline.testing.log_contract import LogContract


class TestFile(LogContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return url_of(tmp_path / "log.db")


class TestMemory(LogContract):
    durable = False

    @pytest.fixture
    def url(self) -> str:
        return MEMORY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@contextmanager
def raw(path: Path) -> Iterator[apsw.Connection]:
    """Open the file of a closed log, in order to damage it."""
    db = apsw.Connection(str(path))
    try:
        yield db
    finally:
        db.close()


# Any sequence of calls gives the same records as a plain list.

USERS = st.sampled_from(["a", "b", "c"])
EVENT_IDS = st.sampled_from([None, "1", "2", "3", "4"])
APPENDS = st.lists(st.builds(event, USERS, st.just("i"), EVENT_IDS), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(APPENDS | USERS, max_size=12))
def test_any_calls_give_the_contents_of_a_list(calls: list[list[Event] | str]) -> None:
    expected: list[Record] = []
    listener = Listener()
    with SQLiteLog(None) as log:
        log.listen(listener.on_commit, listener.on_erase)
        for call in calls:
            if isinstance(call, str):
                mine = [r for r in expected if isinstance(r, Event) and r.user_id == call]
                assert erase(log, call) == len(mine)
                expected = [Erased() if r in mine else r for r in expected]
                continue
            new: list[Record] = []
            for record in call:
                ids = [r.event_id for r in expected + new if isinstance(r, Event)]
                if record.event_id is None or record.event_id not in ids:
                    new.append(record)
            answer = append(log, *call)
            expected += new
            assert (answer.accepted, answer.duplicates) == (len(new), len(call) - len(new))
            assert answer.offset == log.end == len(expected)
        assert list(log.read()) == list(enumerate(expected))
        assert log.erasures == len(listener.erased)
        assert [offset for offset, _ in listener.seen] == list(range(len(expected)))


# Erasing


@pytest.mark.parametrize("seed", range(3))
def test_erased_bytes_are_in_no_file(path: Path, seed: int) -> None:
    # Random sizes make SQLite split and merge pages, where old bytes could remain.
    rng = random.Random(seed)
    users = [f"person-{n}@example" for n in range(30)]
    gone: list[bytes] = []
    with SQLiteLog(path) as log:
        for _ in range(60):
            user = rng.choice(users)
            log.append(
                [
                    Event(
                        user_id=user,
                        item_id="i",
                        timestamp=1.0,
                        event_id=f"{user}/{rng.random()}",
                        context={"note": user * rng.choice([1, 5, 20])},
                    )
                    for _ in range(rng.randrange(1, 20))
                ]
            )
        for user in rng.sample(users, 10):
            erase(log, user)
            users.remove(user)
            gone.append(user.encode())
            append(log, event(rng.choice(users), event_id=f"later {rng.random()}"))
            files = b"".join(file.read_bytes() for file in path.parent.iterdir())
            assert [user for user in gone if user in files] == []


def test_users_with_equal_hashes_are_distinguished(path: Path) -> None:
    with SQLiteLog(path) as log:
        append(log, event("a"), event("b", event_id="kept"))
    with raw(path) as db:
        db.execute("UPDATE recent SET user_key = ?", (user_key("a"),))
    with SQLiteLog(path) as log:
        assert erase(log, "a") == 1
        assert list(log.read()) == [(0, Erased()), (1, event("b", event_id="kept"))]


def test_damaged_keys_are_made_again_from_the_records(path: Path) -> None:
    with SQLiteLog(path) as log:
        append(log, event("a", event_id="first"), event("b", event_id="second"))
    with raw(path) as db:
        db.execute("UPDATE recent SET event_key = x'00' WHERE offset = 0")
    for _ in range(2):
        with SQLiteLog(path) as log:
            append(log, event("a", event_id="first"), event("b", event_id="second"))
            assert [offset for offset, _ in log.read()] == [0, 1]


def test_an_erasure_fails_if_the_write_ahead_file_cannot_be_emptied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BUSY_MS", 0)
    listener = Listener()
    with SQLiteLog(path) as log:
        log.listen(listener.on_commit, listener.on_erase)
        append(log, event("a"))
        with raw(path) as outsider:
            outsider.execute("BEGIN")
            outsider.execute("SELECT count(*) FROM log").fetchall()
            with pytest.raises(StorageFailed, match=r"1 records were erased.*erase the user again"):
                erase(log, "a")
        assert listener.erased == [("a", [(0, event("a"))])]
        assert erase(log, "a") == 0
        assert Path(f"{path}-wal").stat().st_size == 0


def test_an_invalid_user_id_is_rejected(path: Path) -> None:
    with SQLiteLog(path) as log, pytest.raises(InvalidInput, match="user_id is empty"):
        log.erase("")


# Locking


def test_a_log_can_be_opened_once_in_a_process(path: Path) -> None:
    with SQLiteLog(path) as log:
        with pytest.raises(StoreInUse, match=r"log\.db is already open in this process"):
            SQLiteLog(path)
        append(log, event("a"))
    with SQLiteLog(path) as log:
        assert log.end == 1


HOLDER = """
import sys, time
from pathlib import Path
from nearline.log import SQLiteLog
log = SQLiteLog(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_log_is_locked_until_its_process_dies(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse, match=f"log.db is open in process {holder.pid}; stop"):
            SQLiteLog(path)
        holder.send_signal(signal.SIGKILL)
    SQLiteLog(path).close()


def test_a_lock_without_a_process_id_names_an_unknown_process(path: Path) -> None:
    with SQLiteLog(path):
        Path(f"{path}.pid").unlink()
        with pytest.raises(StoreInUse, match="open in process unknown"):
            SQLiteLog(path)


# Damaged files


def test_a_file_that_is_not_a_database_is_damaged(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to have a header" * 100)
    for _ in range(2):  # the lock is free again after the first
        with pytest.raises(Damaged, match=r"log\.db: .*; restore the file from a backup"):
            SQLiteLog(path)


def test_a_missing_number_of_erasures_is_damage(path: Path) -> None:
    SQLiteLog(path).close()
    with raw(path) as db:
        db.execute("DELETE FROM meta WHERE name = 'erasures'")
    with pytest.raises(Damaged, match=r"log\.db: .*erasures.*; restore the file from a backup"):
        SQLiteLog(path)


def test_a_truncated_file_is_damaged(path: Path) -> None:
    with SQLiteLog(path) as log:
        append(log, *(event(f"u{n}") for n in range(2_000)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(Damaged, match=r"log\.db: .*; restore"):
        SQLiteLog(path)


def test_another_database_is_not_a_log(path: Path) -> None:
    with raw(path) as db:
        db.execute("CREATE TABLE customers (name TEXT)")
    with pytest.raises(Damaged, match="not a log"):
        SQLiteLog(path)


def test_a_newer_format_is_rejected(path: Path) -> None:
    SQLiteLog(path).close()
    with raw(path) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(InvalidInput, match=r"log format 7; .* up to 4: upgrade nearline"):
        SQLiteLog(path)


def test_the_error_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="nowhere is not a folder; create it"):
        SQLiteLog(tmp_path / "nowhere" / "log.db")


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x81\xa4type\xa5event", b"\x81\xa4type\xa1\xff"]
)
def test_the_error_names_an_unreadable_record(path: Path, payload: bytes) -> None:
    with SQLiteLog(path) as log:
        append(log, event("a"), event("b"), event("c"))
    with raw(path) as db:
        db.execute("UPDATE log SET payload = ? WHERE offset = 1", (payload,))
    with SQLiteLog(path) as log:
        reading = log.read()
        assert next(reading) == (0, event("a"))
        with pytest.raises(Damaged, match="offset 1 cannot be read"):
            next(reading)
        assert list(log.read(2)) == [(2, event("c"))]
        with pytest.raises(Damaged, match="offset 1"):
            erase(log, "b")
        assert erase(log, "a") == 1


def test_a_missing_record_is_detected(path: Path) -> None:
    with SQLiteLog(path) as log:
        append(log, event("a"), event("b"), event("c"))
    with raw(path) as db:
        db.execute("DELETE FROM log WHERE offset = 1")
    with SQLiteLog(path) as log, pytest.raises(Damaged, match=r"missing in \[0, 3\)"):
        list(log.read())


# Full disks


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files of this process, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_only_an_append_that_does_not_fit_on_the_disk_fails(path: Path) -> None:
    gate = Signal()
    listener = Listener(gate)
    with SQLiteLog(path) as log:
        log.listen(listener.on_commit, listener.on_erase)
        first = log.append([event("first", event_id="e0")])
        assert listener.entered.wait(WAIT)
        # These three are queued together and tried as one group.
        small = log.append([event("small", event_id="e1")])
        large = log.append(
            [event("large", event_id="e2"), Item(item_id="i", timestamp=1.0, text="x" * 4_000_000)]
        )
        other = log.append([event("other", event_id="e2")])
        with largest_file(1_000_000):
            gate.set()
            assert first.result(WAIT).offset == 1
            assert small.result(WAIT).offset == 2
            with pytest.raises(StorageFailed, match="nothing of this call was stored"):
                large.result(WAIT)
            assert other.result(WAIT).accepted == 1
        assert append(log, event("later")).offset == 4
        assert [offset for offset, _ in listener.seen] == [0, 1, 2, 3]
    with SQLiteLog(path) as log:
        kept = [r.user_id for _, r in log.read() if isinstance(r, Event)]
        assert kept == ["first", "small", "other", "later"]


# Copies


def test_a_log_in_memory_is_copied_to_a_file(path: Path) -> None:
    with SQLiteLog(None) as log:
        append(log, event("a", event_id="e"), event("b"))
        erase(log, "b")
        log.copy_to(path)
        append(log, event("c"))
    assert [file.name for file in path.parent.iterdir()] == ["log.db"]
    with SQLiteLog(path) as log:
        assert (log.end, log.erasures) == (2, 1)
        assert list(log.read()) == [(0, event("a", event_id="e")), (1, Erased())]
        assert append(log, event("a", event_id="e")).duplicates == 1


def test_a_file_is_copied_while_it_is_open(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with SQLiteLog(path) as log:
        append(log, event("a"))
        log.copy_to(copy)
        with pytest.raises(InvalidInput, match=r"copy\.db exists"):
            log.copy_to(copy)
        with pytest.raises(DataNotFound, match="nowhere"):
            log.copy_to(tmp_path / "nowhere" / "copy.db")
    with SQLiteLog(copy) as log:
        assert list(log.read()) == [(0, event("a"))]


def test_a_copy_is_as_durable_as_the_log(path: Path) -> None:
    with SQLiteLog(None) as log:
        log.copy_to(path)
    SQLiteLog(path).close()
    with raw(path) as db:
        assert db.pragma("journal_mode") == "wal"
