"""Flights: who has which blocks, between two open files as between two processes."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.single import Flights


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Flights, Flights]]:
    """Return the flights of one file as two processes have them: each with its own open file."""
    made = [os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT) for _ in range(2)]
    yield Flights(made[0]), Flights(made[1])
    for descriptor in made:
        os.close(descriptor)


def absent(block: int) -> bool:
    return False


def test_a_claim_ends_before_the_next_flight(pair: tuple[Flights, Flights]) -> None:
    flights, _ = pair
    middle, is_mine = flights.claim(5, 6)
    assert is_mine
    before, is_mine = flights.claim(2, 9)
    assert (before.first, before.last, is_mine) == (2, 4, True)
    assert flights.claim(6, 9) == (middle, False)


def test_what_another_process_has_is_left_to_it(pair: tuple[Flights, Flights]) -> None:
    ours, theirs = pair
    taken, _ = theirs.claim(5, 6)
    assert theirs.take_off(taken, absent)
    flight, _ = ours.claim(2, 9)
    assert ours.take_off(flight, absent)
    assert (flight.first, flight.last) == (2, 4)
    # Landing gives back what it had, and nothing of what others have.
    ours.land(flight)
    again, _ = ours.claim(4, 7)
    assert ours.take_off(again, absent)
    assert again.last == 4


def test_landing_keeps_the_locks_of_the_next_flight(pair: tuple[Flights, Flights]) -> None:
    """A flight that gave up its end does not unlock it for the thread that took it over."""
    ours, theirs = pair
    blocker, _ = theirs.claim(5, 5)
    assert theirs.take_off(blocker, absent)
    first, _ = ours.claim(4, 9)
    assert ours.take_off(first, absent)
    second, is_mine = ours.claim(6, 9)
    assert is_mine
    assert ours.take_off(second, absent)
    ours.land(first)
    rival, _ = theirs.claim(4, 9)
    assert theirs.take_off(rival, absent)
    assert rival.last == 4


def test_who_waits_goes_on_when_the_block_has_come(pair: tuple[Flights, Flights]) -> None:
    ours, theirs = pair
    taken, _ = theirs.claim(0, 0)
    assert theirs.take_off(taken, absent)
    has_come = threading.Event()
    flight, _ = ours.claim(0, 3)
    answers: list[bool] = []
    waiter = threading.Thread(
        target=lambda: answers.append(ours.take_off(flight, lambda block: has_come.is_set()))
    )
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    has_come.set()
    theirs.land(taken)
    waiter.join(5)
    assert answers == [False]
