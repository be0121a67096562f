"""The served log: files, repetitions, crashes, erasure and retention."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from nearline.schema import DAY
from nearline.sealing import Seal, create_keys
from nearline.served import ServedLog, read_segments
from nearline.served import segments as segments_module
from nearline.served.rows import ItemsSeen, Served, decode_entries, encode_entry
from nearline.served.segments import FOLDER, entries_since, seal_segments, segments_of

CHILD = Path(__file__).parent / "serve_until_killed.py"
KILLS, LANES = int(os.environ.get("NEARLINE_TEST_SERVED_KILLS", "8")), 8
# Seconds between two lines of a process from which time is withheld; it sleeps for 0.01.
PAUSE = 0.03


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def served(name: str, user_id: str | None = "u", **fields: object) -> Served:
    given = {"item_ids": ("a", "b"), "tiers": ("personal", "popular"), "model": "m", "offset": 0}
    return Served(
        recommendation_id=name,
        user_id=user_id,
        timestamp=0.0,
        **{**given, **fields},  # type: ignore[arg-type]
    )


def test_entries_are_there_after_a_restart_and_each_time(tmp_path: Path) -> None:
    clock = Clock()
    log = ServedLog(tmp_path, 90.0, clock)
    one = served("r1", propensities=(1.0, 0.25), explored=(1,), experiments={"e": "b"})
    log.add(one)
    log.add(served("r2", None))
    log.flush()
    log.add(one)
    log.seen("r1", "u", ["a"])
    before = list(log.entries())
    log.close()
    again = list(ServedLog(tmp_path, 90.0, clock).entries())
    assert again == before
    lists = [entry for entry in again if isinstance(entry, Served)]
    assert [(entry.recommendation_id, entry.timestamp) for entry in lists] == [
        ("r1", 1_700_000_001.0),
        ("r2", 1_700_000_002.0),
        ("r1", 1_700_000_004.0),
    ]
    assert lists[0].variant == "b"
    assert lists[0].propensities == lists[2].propensities == (1.0, 0.25)
    assert [entry.item_ids for entry in again if isinstance(entry, ItemsSeen)] == [("a",)]
    late = [entry.recommendation_id for entry in read_segments(tmp_path / FOLDER, 1_700_000_004.0)]
    assert sorted(late) == ["r1", "r1"]  # the second serving, and what was seen of it


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=40), st.integers(min_value=0, max_value=200))
def test_damaged_lines_are_skipped_and_the_others_kept(noise: bytes, cut: int) -> None:
    whole = encode_entry(served("r1", "ü\nn\u2028"))
    torn = encode_entry(served("r2"))[:cut]
    data = whole + noise.replace(b"\n", b"") + b"\n" + whole + torn
    found = [entry for entry, _ in decode_entries(data)]
    complete = len(torn) == len(encode_entry(served("r2")))
    expected = [served("r1", "ü\nn\u2028")] * 2 + [served("r2")] * complete
    assert [entry for entry in found if isinstance(entry, Served)] == expected


def test_an_erasure_leaves_nothing_of_a_user(tmp_path: Path) -> None:
    clock = Clock()
    log = ServedLog(tmp_path, 90.0, clock)
    kept, gone = served("keep", "u1"), served("gone", 'u"é')
    for entry in (kept, gone, gone, served("also", 'u"é')):
        log.add(entry)
    log.seen("gone", 'u"é', ["a"])
    log.flush()
    log.add(gone)
    assert (
        log.begin_erasure('u"é') == 5
    )  # two lists, two more times in one line each, what was seen
    log.add(gone)
    log.flush()
    log.add(gone)
    log.end_erasure('u"é')
    assert [entry.recommendation_id for entry in log.entries()] == ["keep"]
    assert log.of_user('u"é') == []
    log.close()
    for path in (tmp_path / FOLDER).iterdir():
        assert b"gone" not in path.read_bytes()
    log = ServedLog(tmp_path, 90.0, clock)
    log.add(served("new", 'u"é'))
    assert len(log.of_user('u"é')) == 1
    log.close()


def test_in_memory_too(tmp_path: Path) -> None:
    log = ServedLog(None, 90.0, Clock())
    log.add(served("r1", "u1"))
    log.add(served("r2", "u2"))
    assert len(list(log.entries())) == 2
    assert log.begin_erasure("u1") == 1
    log.end_erasure("u1")
    assert [entry.user_id for entry in log.entries()] == ["u2"]
    log.clear()
    assert not list(log.entries())
    log.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_reader_returns_what_was_added_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    clock = Clock()
    log = ServedLog(None if in_memory else tmp_path, 90.0, clock)
    log.add(served("before"))
    since = clock.now + 0.5
    read, found = log.reader(since), list[list[str]]()
    for names in (["a", "b"], ["b"], [], ["c", "a"], ["d"]):
        for name in names:
            log.add(served(name))
        if names == ["c", "a"]:
            log.seen("a", "u", ["x"])
            monkeypatch.setattr(segments_module, "MAX_SEGMENT_BYTES", 0)  # the next is another
        found.append([one.recommendation_id for one in read()])
    assert [sorted(names) for names in found] == [["a", "b"], ["b"], [], ["a", "a", "c"], ["d"]]
    assert list(log.reader(since)()) == list(log.entries(since))
    erasures = log.erasures
    log.begin_erasure("u")
    log.end_erasure("u")
    assert log.erasures > erasures
    assert log.reader(0.0)() == []
    log.close()


def test_old_and_large_segments_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    log = ServedLog(tmp_path, 2.0, clock)
    for number in range(6):
        log.add(served(f"r{number}"))
        log.flush()
        clock.now += DAY
    names = {entry.recommendation_id for entry in log.entries() if isinstance(entry, Served)}
    assert names == {"r3", "r4", "r5"} or names == {"r2", "r3", "r4", "r5"}
    monkeypatch.setattr(segments_module, "MAX_BYTES", 0)
    log.add(served("last"))
    log.flush()
    assert len(segments_of(tmp_path / FOLDER)) == 1
    log.close()


def lines_until(stream: IO[bytes], stop: Callable[[str, float], bool]) -> list[tuple[str, float]]:
    """Read lines `WORD NUMBER` up to one at which to stop, which is the last."""
    lines = []
    for line in stream:
        word, number = line.split()
        lines.append((word.decode(), float(number)))
        if stop(*lines[-1]):
            return lines
    raise AssertionError("the processes ended")


def kill_some(folder: Path, kills: int, seed: int) -> list[tuple[float, float]]:
    """Kill processes that serve, and check that what is kept is whole.

    Returns the seconds that each lost, and those that the machine withheld from it.
    """
    rng, known, lost = random.Random(seed), set[Path](), list[tuple[float, float]]()
    with subprocess.Popen(
        [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for _ in range(kills):
            parent.stdin.write(b"%b\n" % bytes(folder))
            parent.stdin.flush()
            ((_, process),) = lines_until(parent.stdout, lambda word, _: word == "serving")
            # At any time of the first three turns of the thread that writes.
            until = time.time() + rng.uniform(0.0, 1.6)
            told = lines_until(parent.stdout, lambda _, when, until=until: when >= until)  # type: ignore[misc]
            os.kill(int(process), signal.SIGKILL)
            told += lines_until(parent.stdout, lambda word, _: word == "killed")[:-1]
            new = sorted(set(segments_of(folder / FOLDER)) - known)
            known.update(new)
            entries = [entry for path in new for entry in entries_since(path.read_bytes(), 0.0)]
            numbers = [int(one.recommendation_id[1:]) for one in entries if isinstance(one, Served)]
            assert numbers == list(range(1, len(numbers) + 1))  # in order, whole, without gaps
            # Of the lists that are lost, those before the line have been served by its time.
            times = [when for number, when in told if int(number) > len(numbers)]
            # The machine may withhold time from all threads, as it does between these lines.
            waits = [
                max(later - earlier - PAUSE, 0.0) for (_, earlier), (_, later) in pairwise(told)
            ]
            lost.append((told[-1][1] - times[0] if times else 0.0, sum(waits)))
        parent.stdin.close()
    return lost


def test_a_killed_process_loses_less_than_a_second_and_nothing_is_torn(tmp_path: Path) -> None:
    """Real processes, files and signals; the processes of a lane share a folder."""
    lanes = min(LANES, KILLS)
    with ThreadPoolExecutor(lanes) as pool:
        runs = [
            pool.submit(kill_some, tmp_path / str(lane), len(range(lane, KILLS, lanes)), lane)
            for lane in range(lanes)
        ]
        lost = sorted(pair for run in runs for pair in run.result())
    assert len(lost) == KILLS
    late = sum(seconds >= 1.0 for seconds, _ in lost)
    print(f"lost: median {lost[KILLS // 2][0]:.2f} s, at most {lost[-1]}, {late} of 1 s or more")
    assert all(seconds < 1.0 + withheld for seconds, withheld in lost)


@pytest.fixture
def seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seal]:
    monkeypatch.setenv("NEARLINE_MASTER_KEY", "11" * 32)
    found = Seal(create_keys(tmp_path / "keys.db", "env:NEARLINE_MASTER_KEY"))
    yield found
    found.close()


def test_entries_of_a_sealed_store_are_sealed(tmp_path: Path, seal: Seal) -> None:
    """A copy from before an erasure is unreadable for the user, and whole for the others."""
    log = ServedLog(tmp_path, 90.0, lambda: 1_700_000_000.0, seal=seal)
    entries = [replace(served(f"r{n}"), user_id=f"user-{n % 2}") for n in range(6)]
    for entry in entries:
        log.add(entry)
        log.flush()
    log.seen("r0", "user-0", ["item-seen"])
    expected = list(log.entries())
    assert len(expected) == 7
    assert [entry.recommendation_id for entry in log.of_user("user-1")] == ["r1", "r3", "r5"]
    (path,) = (tmp_path / FOLDER).iterdir()
    copy = path.read_bytes()
    assert b"user-" not in copy
    assert b"item-seen" not in copy
    assert log.begin_erasure("user-0") == 4
    seal.keys.destroy("user-0", seal.keys.retire("user-0"))
    log.end_erasure("user-0")
    assert {entry.user_id for entry in log.entries()} == {"user-1"}
    log.close()
    readable = [entry for entry, _ in decode_entries(copy, seal)]
    assert readable == [entry for entry in expected if entry.user_id == "user-1"]


def test_plain_segments_are_sealed(tmp_path: Path, seal: Seal) -> None:
    log = ServedLog(tmp_path, 90.0, lambda: 1_700_000_000.0)
    log.add(replace(served("r1"), user_id="user-1"))
    log.add(replace(served("r1"), user_id="user-1"))
    expected = list(log.entries())
    log.close()
    for _ in range(2):  # the second time changes nothing
        seal_segments(tmp_path / FOLDER, seal)
        (path,) = (tmp_path / FOLDER).iterdir()
        assert b"user-1" not in path.read_bytes()
        assert list(read_segments(tmp_path / FOLDER, seal=seal)) == expected
