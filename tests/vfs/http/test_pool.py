"""The pool has threads to spare, counts them truly, and lends them to nobody for ever."""

import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from vfs.http.bad_request import BadRequest
from vfs.http.pool import THREADS, Pool


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_the_counts_of_the_pool_never_drift() -> None:
    pool = Pool(lambda connection: None)
    pool.start()
    refused = []

    def block() -> None:
        for _ in range(40):
            try:
                with pool.blocked():
                    time.sleep(0.001)
            except BadRequest as error:
                refused.append(error)

    for _ in range(3):
        threads = [threading.Thread(target=block) for _ in range(2 * THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert eventually(lambda: len(pool._busy) == pool._size)
        assert pool._blocked == 0
        assert THREADS <= pool._size <= 2 * THREADS
    assert not refused
    pool.stop(5)
    assert pool._busy == {}


def test_no_more_threads_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(lambda connection: None)
    pool.start()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with contextlib.ExitStack() as stack:
            for _ in range(THREADS // 2):
                stack.enter_context(pool.blocked())
            with pytest.raises(BadRequest):
                stack.enter_context(pool.blocked())
            assert pool._size == THREADS
    assert pool._blocked == 0
    pool.stop(5)
