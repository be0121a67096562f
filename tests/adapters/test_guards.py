"""The breaker and the budget, by hand, with a clock that the test holds."""

import pytest

from nearline.adapters.guards import DAY, MAX_PAUSE_SECONDS, Breaker, TokenBudget


def test_a_breaker_opens_after_consecutive_failures_and_allows_one_trial() -> None:
    breaker = Breaker(failures=2, pause_seconds=30.0)
    assert breaker.admits(100.0)
    assert not breaker.failed(100.0)
    breaker.succeeded()
    assert not breaker.failed(101.0)  # not in a row
    assert breaker.failed(102.0)
    assert breaker.state(131.9) == "open"
    assert not breaker.admits(131.9)
    assert breaker.state(132.0) == "half_open"
    assert breaker.admits(132.0)
    assert not breaker.admits(132.0)  # one at a time
    assert breaker.failed(133.0)
    assert not breaker.admits(162.9)
    assert breaker.admits(163.0)
    breaker.succeeded()
    assert breaker.state(163.0) == "closed"
    assert breaker.admits(163.0)
    assert breaker.admits(163.0)


def test_a_cancelled_trial_allows_another_one() -> None:
    breaker = Breaker(failures=1, pause_seconds=10.0)
    breaker.failed(0.5)
    assert breaker.admits(20.0)
    breaker.gave_up()
    assert breaker.admits(20.0)


def test_failures_of_calls_in_flight_do_not_reopen_the_breaker() -> None:
    breaker = Breaker(failures=1, pause_seconds=10.0)
    assert breaker.failed(1.0)
    assert not breaker.failed(9.0)
    assert breaker.state(11.0) == "half_open"


@pytest.mark.parametrize(("asked", "kept"), [(5.0, 30.0), (90.0, 90.0), (1e9, MAX_PAUSE_SECONDS)])
def test_retry_after_opens_the_breaker_immediately(asked: float, kept: float) -> None:
    breaker = Breaker(failures=5, pause_seconds=30.0)
    assert breaker.failed(10.0, retry_after=asked)
    assert breaker.state(10.0 + kept - 0.1) == "open"
    assert breaker.state(10.0 + kept) == "half_open"


def test_a_clock_that_was_set_back_does_not_keep_the_breaker_open() -> None:
    breaker = Breaker(failures=1, pause_seconds=30.0)
    breaker.failed(1e9)
    assert breaker.state(5e8) == "half_open"


def test_tokens_of_a_minute_and_of_a_day() -> None:
    budget = TokenBudget(per_minute=10, per_day=25)
    start = 20_000.0 * DAY
    assert budget.take(6, start)
    assert not budget.take(5, start + 59)
    assert budget.take(4, start + 59)
    assert budget.take(10, start + 60)
    assert not budget.take(6, start + 120)  # 20 of the day's 25 are gone
    assert budget.take(5, start + 120)
    assert budget.take(10, start + DAY)


def test_tokens_are_corrected_once_they_are_known() -> None:
    budget = TokenBudget(per_minute=10, per_day=1_000)
    assert budget.take(8, 1e9)
    budget.correct(-6)
    assert budget.take(8, 1e9)
    budget.correct(-1_000)  # never below nothing
    assert not budget.take(11, 1e9)
