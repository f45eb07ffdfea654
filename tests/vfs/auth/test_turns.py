"""One login at a time for each address and name."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfs.auth import turns
from vfs.auth.errors import Throttled
from vfs.auth.turns import WAITING_MAX, Turns

HERE, THERE = "192.0.2.1", "192.0.2.2"


def test_one_at_a_time_and_others_do_not_wait() -> None:
    """The table is empty again when all are through."""
    line = Turns()
    inside: list[int] = []
    most: list[int] = []

    def login(_: int) -> None:
        with line.turn(HERE, "ann"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as threads:
        with line.turn(HERE, "ann"):
            waiting = [threads.submit(login, number) for number in range(8)]
            with line.turn(THERE, "ann"), line.turn(HERE, "bob"):
                assert not most
        for each in waiting:
            each.result(10)
    assert most == [1] * 8
    assert not line._queues


def test_who_waits_too_long_or_behind_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.3)
    line = Turns()
    statuses: list[int] = []

    def login() -> None:
        try:
            with line.turn(HERE, "ann"):
                statuses.append(200)
        except Throttled as error:
            statuses.append(error.status)

    threads = [threading.Thread(target=login) for _ in range(WAITING_MAX + 2)]
    with line.turn(HERE, "ann"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [429] * 2 + [503] * WAITING_MAX
    login()
    assert statuses[-1] == 200
