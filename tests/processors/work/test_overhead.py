"""What it costs to have something computed, beside computing it."""

import time
from collections.abc import Callable

import pytest

from processors.making.maker import Maker
from processors.work.pool import Pool
from processors.work.runner import Call, always, ignore
from tests.processors.tiny import LIMITS, Bytes, derive


def best(count: int, act: Callable[[int], object]) -> float:
    """Return the milliseconds of the quickest of many."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        act(number)
        took.append(time.perf_counter() - began)
    return min(took) * 1000


@pytest.mark.bench
def test_a_warm_call_takes_less_than_two_milliseconds(
    maker: Maker, make_pool: Callable[..., Pool]
) -> None:
    """To a worker and back; and with a result of one byte made, kept and indexed."""
    source, pool = Bytes(b"x"), make_pool()
    call = Call(kind="info", steps=derive("copy").steps, limits=LIMITS, seconds=20)
    pool.warm()
    there = best(500, lambda _: pool.call(call, source, is_wanted=always, progress=ignore))
    made = best(500, lambda n: maker.make(derive("copy", size=n), source.open, who=""))
    hit = best(500, lambda _: maker.make(derive("copy", size=0), source.open, who=""))
    print(f"a call {there:.3f} ms, a result made {made:.3f} ms, a result found {hit:.3f} ms")
    assert there < 1
    assert made < 2
    assert hit < made / 4
