"""Guessing gets slow; the real user is not kept out."""

import timeit
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.auth.errors import Throttled
from vfs.auth.throttle import (
    ADDRESS_TRIES_MAX,
    ATTACKED_LIMIT,
    FORGET_SECONDS,
    FREE_TRIES_MAX,
    KNOWN_SECONDS,
    LONGEST_WAIT_SECONDS,
    Throttle,
)

EVIL, HOME = "203.0.113.66", "192.0.2.1"


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.seconds = 5000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(now=clock)


def tries(throttle: Throttle, address: str, name: str) -> float:
    """Try a wrong password; return how long it has to wait, 0 when it was verified."""
    try:
        throttle.check(address, name)
    except Throttled as refused:
        assert refused.status == 429
        return refused.retry_after_seconds
    throttle.failed(address, name)
    return 0.0


def guesses(throttle: Throttle, clock: Clock, seconds: float, guess: Callable[[int], bool]) -> int:
    """Count what an attacker gets verified who tries ten times a second."""
    end, count, number = clock.seconds + seconds, 0, 0
    while clock.seconds < end:
        count += guess(number)
        number += 1
        clock.seconds += 0.1
    return count


def test_the_wait_doubles_up_to_its_bound(throttle: Throttle, clock: Clock) -> None:
    assert [tries(throttle, EVIL, "ann") for _ in range(FREE_TRIES_MAX)] == [0] * FREE_TRIES_MAX
    waits = []
    for _ in range(9):
        waits.append(tries(throttle, EVIL, "ann"))
        clock.seconds += waits[-1]
        assert tries(throttle, EVIL, "ann") == 0
    assert waits == [1, 2, 4, 8, 16, 32, *[LONGEST_WAIT_SECONDS] * 3]


def test_ten_thousand_wrong_passwords_do_not_disturb_the_user_elsewhere(
    throttle: Throttle, clock: Clock
) -> None:
    verified = 0
    for _ in range(10_000):
        verified += tries(throttle, EVIL, "ann") == 0
        clock.seconds += 0.01
    assert verified < 15
    throttle.check(HOME, "ann")
    throttle.succeeded(HOME, "ann")
    throttle.check(HOME, "ann")


def test_an_hour_of_guessing_at_one_name_gets_few_tries(throttle: Throttle, clock: Clock) -> None:
    count = guesses(throttle, clock, 3600, lambda _: tries(throttle, EVIL, "ann") == 0)
    assert count < 75


def test_an_hour_of_one_password_on_many_names_gets_few_tries(
    throttle: Throttle, clock: Clock
) -> None:
    count = guesses(throttle, clock, 3600, lambda n: tries(throttle, EVIL, f"user-{n}") == 0)
    assert count < ADDRESS_TRIES_MAX + 75


def test_an_own_account_frees_no_other_name(throttle: Throttle, clock: Clock) -> None:
    """Between any two guesses the attacker logs in rightly as somebody else.

    A count forgotten after a quiet quarter of an hour gives 20 more tries; 36,000 are wanted.
    """

    def guess(number: int) -> bool:
        throttle.succeeded(EVIL, "mallory")
        return tries(throttle, EVIL, f"user-{number % 50}") == 0

    assert guesses(throttle, clock, 3600, guess) < 4 * ADDRESS_TRIES_MAX + 90


def test_all_addresses_of_one_ipv6_network_are_one(throttle: Throttle) -> None:
    verified = sum(tries(throttle, f"2001:db8::{n:x}", "ann") == 0 for n in range(100))
    assert verified == FREE_TRIES_MAX


def test_a_name_attacked_from_many_addresses_leaves_each_new_one_a_try(
    throttle: Throttle,
) -> None:
    for number in range(ATTACKED_LIMIT):
        assert tries(throttle, f"198.51.100.{number}", "ann") == 0
    assert tries(throttle, EVIL, "ann") == 0
    assert tries(throttle, EVIL, "ann") == 1
    assert [tries(throttle, EVIL, "bob") for _ in range(FREE_TRIES_MAX)] == [0] * FREE_TRIES_MAX


def test_where_the_user_logged_in_before_an_attack_takes_no_tries(throttle: Throttle) -> None:
    throttle.succeeded(HOME, "ann")
    for number in range(100):
        tries(throttle, f"198.51.100.{number}", "ann")
    assert [tries(throttle, HOME, "ann") for _ in range(FREE_TRIES_MAX)] == [0] * FREE_TRIES_MAX


def test_a_user_behind_a_shared_address_does_not_wait_for_others(
    throttle: Throttle, clock: Clock
) -> None:
    throttle.succeeded(HOME, "ann")
    for number in range(100):
        tries(throttle, HOME, f"user-{number}")
    assert tries(throttle, HOME, "carl") > 0
    throttle.check(HOME, "ann")
    clock.seconds += KNOWN_SECONDS
    for number in range(100):
        tries(throttle, HOME, f"user-{number}")
    with pytest.raises(Throttled):
        throttle.check(HOME, "ann")


def test_one_program_with_an_old_password_does_not_stop_its_neighbours(
    throttle: Throttle, clock: Clock
) -> None:
    guesses(throttle, clock, 3600, lambda _: tries(throttle, HOME, "old") == 0)
    throttle.check(HOME, "new")


def test_a_right_login_leaves_a_free_try(throttle: Throttle, clock: Clock) -> None:
    guesses(throttle, clock, 600, lambda _: tries(throttle, HOME, "ann") == 0)
    clock.seconds += LONGEST_WAIT_SECONDS
    throttle.check(HOME, "ann")
    throttle.succeeded(HOME, "ann")
    throttle.check(HOME, "ann")
    assert tries(throttle, HOME, "ann") == 0
    assert tries(throttle, HOME, "ann") == 1


def test_of_many_tries_at_once_after_a_wait_one_is_verified(
    throttle: Throttle, clock: Clock
) -> None:
    for _ in range(FREE_TRIES_MAX):
        tries(throttle, EVIL, "ann")
    clock.seconds += 1
    throttle.check(EVIL, "ann")
    for _ in range(50):
        with pytest.raises(Throttled):
            throttle.check(EVIL, "ann")


def test_a_count_is_forgotten_in_time(throttle: Throttle, clock: Clock) -> None:
    for _ in range(FREE_TRIES_MAX):
        tries(throttle, EVIL, "ann")
    assert tries(throttle, EVIL, "ann") > 0
    clock.seconds += FORGET_SECONDS
    assert [tries(throttle, EVIL, "ann") for _ in range(FREE_TRIES_MAX)] == [0] * FREE_TRIES_MAX


def test_the_refusal_names_no_user(throttle: Throttle) -> None:
    for _ in range(FREE_TRIES_MAX):
        tries(throttle, EVIL, "ann")
    with pytest.raises(Throttled) as refused:
        throttle.check(EVIL, "ann")
    assert refused.value.detail == ("Too many logins failed from this address. Try again in 1 s.")


ADDRESSES = st.sampled_from([f"10.0.0.{n}" for n in range(30)] + ["2001:db8::1", "", "odd"])
NAMES = st.sampled_from(["ann", "bob", "carl", "", "x" * 5000, "\udc80"])
STEPS = st.tuples(
    st.sampled_from(["check", "failed", "try", "succeeded"]),
    ADDRESSES,
    NAMES,
    st.floats(0, 2000),
    st.integers(1, 50),
)


@given(st.lists(STEPS, max_size=40))
def test_the_first_try_from_a_fresh_address_is_never_refused(
    steps: list[tuple[str, str, str, float, int]],
) -> None:
    """Whatever was done before from elsewhere, and however little is kept."""
    clock = Clock()
    throttle = Throttle(most=7, now=clock)
    for kind, address, name, seconds, times in steps:
        clock.seconds += seconds
        for _ in range(times):
            if kind == "failed":
                throttle.failed(address, name)
            elif kind == "succeeded":
                throttle.succeeded(address, name)
            elif kind == "try":
                tries(throttle, address, name)
            else:
                with_wait(throttle, address, name)
    for name in ("ann", "bob", "", "never seen"):
        throttle.check(HOME, name)


def with_wait(throttle: Throttle, address: str, name: str) -> None:
    """Check, and hold a refusal to its promise: a wait that is neither nothing nor too long."""
    try:
        throttle.check(address, name)
    except Throttled as refused:
        assert 0 < refused.retry_after_seconds <= LONGEST_WAIT_SECONDS


@given(st.lists(STEPS, max_size=20), ADDRESSES, NAMES)
def test_who_waits_as_told_is_let_through(
    steps: list[tuple[str, str, str, float, int]], address: str, name: str
) -> None:
    clock = Clock()
    throttle = Throttle(now=clock)
    for _, where, who, seconds, times in steps:
        clock.seconds += seconds
        for _ in range(times):
            throttle.failed(where, who)
    try:
        throttle.check(address, name)
    except Throttled as refused:
        clock.seconds += refused.retry_after_seconds
        throttle.check(address, name)


def test_a_check_costs_microseconds(capsys: pytest.CaptureFixture[str]) -> None:
    throttle = Throttle()
    count = 2000
    check = min(timeit.repeat(lambda: throttle.check(HOME, "ann"), number=count, repeat=5))
    failed = min(timeit.repeat(lambda: throttle.failed(EVIL, "ann"), number=count, repeat=5))
    with capsys.disabled():
        print(
            f"\nthrottle: check {check / count * 1e6:.2f} us, failed {failed / count * 1e6:.2f} us"
        )
    assert check / count < 20e-6
