"""ReadAhead: sequential and strided readers are seen, random ones are left alone."""

import random

import pytest

from cache.read_ahead import LARGEST_WINDOW_BYTES, ReadAhead, Window

KIB = 1024
MIB = 1 << 20


def test_a_sequential_reader_is_seen_at_its_second_read() -> None:
    ahead = ReadAhead()
    assert ahead.saw(0, 64 * KIB) == Window(64 * KIB, MIB)
    elsewhere = ReadAhead()
    assert elsewhere.saw(10 * MIB, 64 * KIB) is None
    assert elsewhere.saw(10 * MIB + 64 * KIB, 64 * KIB) is None
    assert elsewhere.saw(10 * MIB + 128 * KIB, 64 * KIB) == Window(10 * MIB + 192 * KIB, MIB)


@pytest.mark.parametrize("size", [4 * KIB, 100_000, 4 * MIB])
def test_windows_grow_to_the_bound_and_leave_no_hole(size: int) -> None:
    ahead = ReadAhead()
    reached = 0
    sizes = []
    for offset in range(0, 300 * MIB, size):
        window = ahead.saw(offset, size)
        if window is not None:
            assert window.offset == max(reached, offset + size)
            reached = window.offset + window.size
            sizes.append(window.size)
            assert reached - (offset + size) <= LARGEST_WINDOW_BYTES
    assert max(sizes) <= LARGEST_WINDOW_BYTES
    assert reached >= 300 * MIB
    assert len(sizes) < 40


def test_random_reads_are_left_alone() -> None:
    ahead = ReadAhead()
    chance = random.Random(5)
    for _ in range(2000):
        assert ahead.saw(chance.randrange(1, 1 << 40), 64 * KIB) is None


def test_a_strided_reader_is_seen() -> None:
    ahead = ReadAhead()
    found = [ahead.saw(5 * MIB + n * MIB, 4 * KIB) for n in range(4)]
    assert found[:2] == [None, None]
    assert found[3] == Window(9 * MIB, 4 * KIB, MIB, 8)


def test_a_jump_ends_it() -> None:
    ahead = ReadAhead()
    assert ahead.saw(0, 64 * KIB)
    assert ahead.saw(50 * MIB, 64 * KIB) is None
    assert ahead.saw(7 * MIB, 64 * KIB) is None


def test_a_reader_of_several_threads_is_sequential() -> None:
    ahead = ReadAhead()
    order = [0, 1, 2, 3, 5, 4, 6, 8, 7, 9, 10, 11]
    found = [ahead.saw(n * 64 * KIB, 64 * KIB) for n in order]
    reach = max(window.offset + window.size for window in found if window)
    assert reach > 12 * 64 * KIB


def test_going_backwards_reads_nothing_ahead() -> None:
    ahead = ReadAhead()
    for n in range(100, 0, -1):
        assert ahead.saw(n * MIB, 64 * KIB) is None
