"""Elapsed seconds of a clock that may be set."""

from nearline.common.elapsed import Elapsed


def test_elapsed_seconds_follow_the_clock() -> None:
    now = [1_000.0]
    elapsed = Elapsed(lambda: now[0])
    assert elapsed() == 0.0
    now[0] += 2.5
    assert elapsed() == 2.5
    now[0] += 1.5
    assert elapsed() == 4.0


def test_a_clock_that_is_set_back_counts_on_from_there() -> None:
    now = [1_000.0]
    elapsed = Elapsed(lambda: now[0])
    now[0] += 10.0
    assert elapsed() == 10.0
    now[0] -= 1e9
    assert elapsed() == 10.0
    now[0] += 3.0
    assert elapsed() == 13.0


def test_a_clock_that_was_ahead_for_a_moment_delays_nothing() -> None:
    now = [1_000.0]
    elapsed = Elapsed(lambda: now[0])
    now[0] += 1e9
    ahead = elapsed()
    now[0] -= 1e9
    assert elapsed() == ahead
    now[0] += 20.0
    assert elapsed() == ahead + 20.0
