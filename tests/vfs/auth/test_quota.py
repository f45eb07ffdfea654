"""Nobody gets more than the configured rate, nor more at once."""

import threading
import timeit
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.auth.caller import Caller
from vfs.auth.errors import Throttled
from vfs.auth.quota import BURST_SECONDS, Quota
from vfs.auth.settings import LimitsConfig

ALICE, BOB = Caller(name="alice"), Caller(name="bob")


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.seconds = 77.0

    def __call__(self) -> float:
        return self.seconds


def limited(clock: Clock, rate: float = 0, at_once: int = 0, most: int = 100) -> Quota:
    limits = LimitsConfig(requests_per_second=rate, requests_at_once=at_once)
    return Quota(limits, most=most, now=clock)


def passes(quota: Quota, caller: Caller) -> bool:
    """Send one request that is answered at once."""
    try:
        quota.enter(caller)
    except Throttled:
        return False
    quota.leave(caller)
    return True


def test_twenty_seconds_worth_come_at_once_and_then_the_rate_holds() -> None:
    clock = Clock()
    quota = limited(clock, rate=10)
    assert sum(passes(quota, ALICE) for _ in range(500)) == 200
    with pytest.raises(Throttled) as refused:
        quota.enter(ALICE)
    assert refused.value.status == 429
    assert refused.value.retry_after_seconds == pytest.approx(0.1)
    assert refused.value.detail == "More than 10 requests a second. Try again in 1 s."
    clock.seconds += 1
    assert sum(passes(quota, ALICE) for _ in range(500)) == 10


def test_a_rate_below_one_in_the_burst_lets_one_through() -> None:
    clock = Clock()
    quota = limited(clock, rate=0.01)
    assert [passes(quota, ALICE) for _ in range(2)] == [True, False]
    clock.seconds += 100
    assert [passes(quota, ALICE) for _ in range(2)] == [True, False]


def test_users_and_addresses_count_apart() -> None:
    clock = Clock()
    quota = limited(clock, rate=0.05)
    callers = [
        ALICE,
        BOB,
        Caller(name="10.0.0.1"),
        Caller(address="10.0.0.1"),
        Caller(address="10.0.0.2"),
        Caller(address="2001:db8::1"),
        Caller(name=""),
        Caller(),
    ]
    assert all(passes(quota, caller) for caller in callers)
    assert not any(passes(quota, caller) for caller in callers)
    assert not passes(quota, Caller(name="alice", address="10.0.0.9", credential="app:x"))
    assert not passes(quota, Caller(address="2001:db8::2"))


def test_no_more_run_at_once_than_may() -> None:
    quota = limited(Clock(), at_once=2)
    quota.enter(ALICE)
    quota.enter(ALICE)
    with pytest.raises(Throttled) as refused:
        quota.enter(ALICE)
    assert refused.value.status == 503
    assert refused.value.retry_after_seconds == 1
    quota.enter(BOB)
    quota.leave(ALICE)
    quota.enter(ALICE)
    for caller in (ALICE, ALICE, BOB):
        quota.leave(caller)
    assert not quota._running


def test_a_refused_request_takes_no_place_and_no_share_of_the_rate() -> None:
    clock = Clock()
    quota = limited(clock, rate=1, at_once=1)
    quota.enter(ALICE)
    for _ in range(100):
        with pytest.raises(Throttled):
            quota.enter(ALICE)
    quota.leave(ALICE)
    assert sum(passes(quota, ALICE) for _ in range(100)) == 19


@given(
    st.floats(0.01, 1000),
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 300)), max_size=30),
)
def test_the_rate_holds_over_every_stretch(rate: float, steps: list[tuple[float, int]]) -> None:
    """Never more than a burst and the rate's worth of the time since the first."""
    clock = Clock()
    quota = limited(clock, rate=rate)
    began, count = clock.seconds, 0
    for seconds, times in steps:
        clock.seconds += seconds
        count += sum(passes(quota, ALICE) for _ in range(times))
        burst = max(BURST_SECONDS, 1 / rate)
        assert count <= (clock.seconds - began + burst) * rate + 1e-3


def test_many_strangers_displace_no_user() -> None:
    quota = limited(Clock(), rate=0.05, most=10)
    assert passes(quota, ALICE)
    for number in range(1000):
        assert passes(quota, Caller(address=f"10.0.{number // 250}.{number % 250}"))
    assert not passes(quota, ALICE)


def test_many_threads_never_pass_the_bound() -> None:
    quota = limited(Clock(), at_once=3)
    now: Counter[str] = Counter()
    seen: list[int] = []
    guard = threading.Lock()

    def work() -> None:
        for _ in range(300):
            try:
                quota.enter(ALICE)
            except Throttled:
                continue
            with guard:
                now["running"] += 1
                seen.append(now["running"])
            with guard:
                now["running"] -= 1
            quota.leave(ALICE)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(seen) <= 3
    assert not quota._running


def test_without_limits_it_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    count = 5000
    took = []
    for limits in (LimitsConfig(), LimitsConfig(requests_per_second=1e9, requests_at_once=9)):
        quota = Quota(limits)

        def pair(quota: Quota = quota) -> None:
            quota.enter(ALICE)
            quota.leave(ALICE)

        took.append(min(timeit.repeat(pair, number=count, repeat=5)) / count * 1e6)
    with capsys.disabled():
        print(f"\nquota: {took[0]:.2f} us without limits, {took[1]:.2f} us with both")
    assert took[0] < 2
    assert took[1] < 20


def test_bearers_of_shares_use_up_nothing_of_their_maker() -> None:
    """Nor has a maker more by making more shares."""
    one, two = (Caller(name="alice", credential=f"share:{number}") for number in range(2))
    quota = limited(Clock(), rate=1, at_once=1)
    while passes(quota, one):
        pass
    assert not passes(quota, two)
    assert passes(quota, ALICE)


def test_two_processes_share_a_rate(tmp_path: Path) -> None:
    clock, limits = Clock(), LimitsConfig(requests_per_second=1)
    one, two = (Quota(limits, tmp_path / "rates", now=clock) for _ in "ab")
    passed = sum(passes(quota, ALICE) for _ in range(100) for quota in (one, two))
    assert passed == pytest.approx(BURST_SECONDS, abs=1)
    for quota in (one, two):
        quota.close()
