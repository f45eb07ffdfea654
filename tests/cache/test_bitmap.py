"""Bitmap: agrees with a set of numbers, over the borders of its pages."""

from hypothesis import given
from hypothesis import strategies as st

from cache import bitmap
from cache.bitmap import Bitmap

NEAR = st.integers(-5, 5).flatmap(
    lambda by: st.sampled_from([bitmap._PAGE * n + by for n in (1, 2)])
)
STEPS = st.lists(st.tuples(st.booleans(), NEAR, st.integers(1, 12)), max_size=8)


@given(STEPS, NEAR, st.integers(1, 20))
def test_it_agrees_with_a_set(steps: list[tuple[bool, int, int]], first: int, count: int) -> None:
    mapped, model = Bitmap(), set[int]()
    for put, start, length in steps:
        blocks = range(start, start + length)
        if put:
            mapped.set(start, start + length - 1)
            model.update(blocks)
        else:
            mapped.clear(start, start + length - 1)
            model.difference_update(blocks)
    asked = range(first, first + count)
    run = next((at for at, block in enumerate(asked) if block not in model), count)
    gap = next((at for at, block in enumerate(asked) if block in model), count)
    assert mapped.run(first, first + count - 1) == run
    assert mapped.gap(first, first + count - 1) == gap
    assert mapped.has(first, first + count - 1) == (run == count)


def test_a_long_run_goes_over_many_pages() -> None:
    mapped = Bitmap()
    mapped.set(7, 5 * bitmap._PAGE)
    assert mapped.has(7, 5 * bitmap._PAGE)
    assert mapped.run(7, 9 * bitmap._PAGE) == 5 * bitmap._PAGE - 6
    assert mapped.gap(0, 9 * bitmap._PAGE) == 7
