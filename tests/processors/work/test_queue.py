"""The queue: whose turn it is, and who is told to come again."""

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from processors.errors import Busy, Cancelled
from processors.work.queue import Queue
from processors.work.runner import always, ignore
from tests.processors.conftest import until


class Crowd:
    """Threads that take turns one after the other, as the test lets them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.steps = threading.Semaphore(0)
        self.threads = ThreadPoolExecutor(64)
        self.lock = threading.Lock()

    def come(self, who: str) -> "Future[None]":
        waiting, running = dict(self.lines()), self.running.total()
        future = self.threads.submit(self._take, who)
        until(lambda: self.lines() != waiting or self.running.total() > running or future.done())
        return future

    def lines(self) -> dict[str, int]:
        with self.queue._lock:
            return {who: len(line) for who, line in self.queue._waiting.items()}

    def _take(self, who: str) -> None:
        with self.queue.turn(who, always, ignore):
            with self.lock:
                self.order.append(who)
                self.running[who] += 1
                self.most[who] = max(self.most[who], self.running[who])
            self.steps.acquire(timeout=10)
            with self.lock:
                self.running[who] -= 1


def test_users_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(Queue(slots=1, length=20, per_user=4))
    futures = [crowd.come("first")]
    futures += [crowd.come("eve") for _ in range(6)]
    futures += [crowd.come("ann"), crowd.come("ann"), crowd.come("bob")]
    crowd.steps.release(len(futures))
    for future in futures:
        future.result(20)
    assert crowd.order[:6] == ["first", "eve", "ann", "bob", "eve", "ann"]
    assert crowd.queue.waiting == 0


def test_one_user_has_so_many_at_once_and_no_more() -> None:
    crowd = Crowd(Queue(slots=4, length=20, per_user=2))
    futures = [crowd.come("eve") for _ in range(5)]
    assert crowd.running["eve"] == 2
    futures.append(crowd.come("ann"))
    until(lambda: crowd.running["ann"] == 1)
    crowd.steps.release(len(futures))
    for future in futures:
        future.result(20)
    assert crowd.most["eve"] == 2


def test_a_newcomer_need_not_wait_for_one_who_has_all() -> None:
    """One, and only one; and the next only when the first has gone."""
    crowd = Crowd(Queue(slots=2, length=20, per_user=4, spare=True))
    futures = [crowd.come("eve") for _ in range(5)]
    assert crowd.running["eve"] == 2
    futures.append(crowd.come("ann"))
    until(lambda: crowd.running["ann"] == 1)
    futures += [crowd.come("ann"), crowd.come("bob")]
    assert crowd.lines() == {"eve": 3, "ann": 1, "bob": 1}
    crowd.steps.release(len(futures))
    for future in futures:
        future.result(20)
    assert crowd.most["eve"] == 2
    assert crowd.queue._free == 2


def test_who_fills_the_queue_makes_room_for_others() -> None:
    crowd = Crowd(Queue(slots=1, length=3, per_user=1))
    running = crowd.come("eve")
    waiting = [crowd.come("eve") for _ in range(3)]
    with pytest.raises(Busy):
        crowd.come("eve").result(20)
    ann = crowd.come("ann")
    with pytest.raises(Busy) as refused:
        waiting[-1].result(20)
    assert 1 <= refused.value.retry_after_seconds <= 60
    bob = crowd.come("bob")
    with pytest.raises(Busy):
        waiting[-2].result(20)
    crowd.steps.release(10)
    for future in (running, ann, bob, waiting[0]):
        future.result(20)


def test_who_leaves_the_queue_is_forgotten() -> None:
    queue = Queue(slots=1, length=3, per_user=1)
    here = threading.Event()
    places: list[int] = []
    with queue.turn("ann", always, ignore), ThreadPoolExecutor(1) as threads:

        def wait() -> None:
            with queue.turn("bob", lambda: not here.is_set(), lambda p: places.append(p.place)):
                raise AssertionError

        future = threads.submit(wait)
        until(lambda: places)
        here.set()
        assert isinstance(future.exception(20), Cancelled)
        assert queue.waiting == 0
    with queue.turn("bob", always, ignore):
        pass
    assert places[0] == 1
