"""The breaker opens after failures in a row, probes after a pause, and bounds calls."""

import threading
import time

import pytest

from providers.errors import BadCredentials, NotFound, TimedOut, Unavailable
from vfs.tree.health import FAILURES_TO_OPEN, FIRST_PAUSE_SECONDS, Breaker


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.leave(breaker.enter(), TimedOut())


def _opened(clock: _Clock) -> Breaker:
    breaker = Breaker(clock=clock)
    _fail(breaker, FAILURES_TO_OPEN)
    return breaker


def test_refuses_at_once_after_failures_in_a_row_and_says_when_to_come_back() -> None:
    breaker = _opened(_Clock())
    with pytest.raises(Unavailable) as caught:
        breaker.enter()
    assert caught.value.retry_after_seconds == FIRST_PAUSE_SECONDS
    assert breaker.down_seconds == 0


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(clock=_Clock())
    for _ in range(5):
        _fail(breaker, FAILURES_TO_OPEN - 1)
        breaker.leave(breaker.enter())
    breaker.enter()


def test_a_missing_file_is_no_failure_of_the_store() -> None:
    breaker = Breaker(clock=_Clock())
    for _ in range(FAILURES_TO_OPEN + 1):
        breaker.leave(breaker.enter(), NotFound())
    assert breaker.down_seconds is None


def test_a_login_that_is_refused_is_not_tried_with_each_request() -> None:
    breaker = Breaker(clock=_Clock())
    for _ in range(FAILURES_TO_OPEN):
        breaker.leave(breaker.enter(), BadCredentials())
    assert breaker.down_seconds == 0
    with pytest.raises(Unavailable):
        breaker.enter()


def test_lets_one_probe_through_after_the_pause() -> None:
    clock = _Clock()
    breaker = _opened(clock)
    clock.now += FIRST_PAUSE_SECONDS
    probe = breaker.enter()
    with pytest.raises(Unavailable):
        breaker.enter()
    breaker.leave(probe)
    breaker.enter()
    assert breaker.down_seconds is None


def test_the_pause_doubles_while_probes_fail() -> None:
    clock = _Clock()
    breaker = _opened(clock)
    clock.now += FIRST_PAUSE_SECONDS
    _fail(breaker)
    clock.now += 1.5 * FIRST_PAUSE_SECONDS
    with pytest.raises(Unavailable):
        breaker.enter()
    clock.now += 0.5 * FIRST_PAUSE_SECONDS
    breaker.enter()
    assert breaker.down_seconds == 3 * FIRST_PAUSE_SECONDS


def test_a_call_waits_its_turn_while_the_store_gets_on() -> None:
    """A burst of calls to a store that serves is slowed down, not refused."""
    breaker = Breaker(calls_at_once=2)
    refused = []

    def call() -> None:
        try:
            entered = breaker.enter()
        except Unavailable as error:
            refused.append(error)
            return
        time.sleep(0.02)
        breaker.leave(entered)

    threads = [threading.Thread(target=call) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


def test_bounds_the_calls_that_wait_in_one_store() -> None:
    breaker = Breaker(calls_at_once=2)
    entered = breaker.enter()
    breaker.enter()
    with pytest.raises(Unavailable, match="2 calls"):
        breaker.enter()
    breaker.leave(entered)
    breaker.enter()


def test_a_call_from_before_the_breaker_opened_is_no_probe() -> None:
    """Its late failure neither doubles the pause nor lets a second probe in beside the first."""
    clock = _Clock()
    breaker = Breaker(clock=clock)
    slow, slower = breaker.enter(), breaker.enter()
    _fail(breaker, FAILURES_TO_OPEN)
    clock.now += FIRST_PAUSE_SECONDS / 2
    breaker.leave(slow, TimedOut())
    clock.now += FIRST_PAUSE_SECONDS / 2
    probe = breaker.enter()
    breaker.leave(slower, TimedOut())
    with pytest.raises(Unavailable):
        breaker.enter()
    breaker.leave(probe, TimedOut())
    clock.now += 2 * FIRST_PAUSE_SECONDS
    breaker.leave(breaker.enter())
    assert breaker.down_seconds is None
