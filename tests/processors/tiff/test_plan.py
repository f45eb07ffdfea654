"""The planner reads what a window needs, all of it, and little else."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from processors.testing import BytesSource, CountingSource, MemoryMemo, PlainContext
from processors.tiff.file import TiffFile
from processors.tiff.plan import FAR_GAP, NEAR_GAP, batches, merged
from processors.values import Grid
from tests.processors.tiff import hostile

SPANS = st.lists(
    st.tuples(st.integers(0, 1 << 22), st.integers(1, 100_000)), min_size=1, max_size=60
)


@given(SPANS, st.sampled_from([0, 100, NEAR_GAP, FAR_GAP]), st.sampled_from([None, 0.0, 0.5]))
def test_merged_ranges_cover_every_span_and_bridge_small_gaps_only(
    spans: list[tuple[int, int]], gap: int, waste: float | None
) -> None:
    ranges = merged(spans, gap, waste)
    assert ranges == sorted(ranges)
    for (start, size), (after, _) in itertools.pairwise(ranges):
        assert start + size < after  # what touches is one range
    for start, size in spans:
        assert any(a <= start and start + size <= a + b for a, b in ranges)
    needed = np.zeros((1 << 22) + 100_000, bool)
    for start, size in spans:
        needed[start : start + size] = True
    wanted, read = int(needed.sum()), sum(size for _, size in ranges)
    assert read >= wanted
    if waste is not None:
        assert read <= wanted * (1 + waste)
    for start, size in ranges:
        holes = np.diff(np.flatnonzero(needed[start : start + size]))
        assert holes.max(initial=1) - 1 <= gap
    if waste is None:
        for (start, size), (after, _) in itertools.pairwise(ranges):
            assert after - start - size > gap


HEIGHT, WIDTH = 97, 131


def _written(**options: Any) -> tuple[bytes, np.ndarray]:
    pixels = np.random.default_rng(5).integers(0, 60000, (HEIGHT, WIDTH), np.uint16)
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue(), pixels


FILES = [
    _written(tile=(32, 16)),
    _written(tile=(16, 48), compression="zlib"),
    _written(rowsperstrip=5),
    _written(rowsperstrip=HEIGHT),
    _written(rowsperstrip=7, compression="lzw"),
]


@given(
    st.sampled_from(FILES),
    st.builds(
        lambda x, y, wide, high: Grid(x, min(WIDTH, x + wide), y, min(HEIGHT, y + high)),
        st.integers(0, WIDTH - 1),
        st.integers(0, HEIGHT - 1),
        st.integers(1, WIDTH),
        st.integers(1, HEIGHT),
    ),
    st.integers(1, 40),
)
def test_a_far_window_is_exact_and_costs_at_most_half_more(
    file: tuple[bytes, np.ndarray], grid: Grid, stride: int
) -> None:
    data, pixels = file
    memo = MemoryMemo()
    TiffFile.open(BytesSource(data), PlainContext(memo=memo)).geometry(0)
    far = CountingSource(BytesSource(data))
    opened = TiffFile.open(far, PlainContext(memo=memo))
    planned = opened.plan(0, 0, grid, stride=stride)
    assert far.trips == 1  # the tables
    far.bytes = 0
    read = opened.read_plan(planned)
    wanted = pixels[grid.y0 : grid.y1 : stride, grid.x0 : grid.x1 : stride]
    np.testing.assert_array_equal(read[..., 0], wanted)
    assert far.trips == 2
    assert far.bytes <= 1.5 * planned.stored_bytes
    if planned.is_direct and stride == 1:
        assert far.bytes <= 1.5 * read.nbytes


def test_a_large_window_is_read_in_bounded_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.tiff.plan._BATCH_BYTES", 2000)
    data, pixels = FILES[1]
    for source in (BytesSource(data), CountingSource(BytesSource(data))):
        file = TiffFile.open(source, PlainContext())
        planned = file.plan(0, 0, Grid(0, WIDTH, 0, HEIGHT))
        parts = list(batches(planned, is_far=True))
        assert len(parts) > 5
        assert [s for part in parts for s in part.segments] == planned.segments
        assert max(sum(s.size for s in part.segments) for part in parts) <= 4000
        np.testing.assert_array_equal(file.read_plan(planned)[..., 0], pixels)


def stack(count: int, *, odd: int = -1, step: int = 6000) -> bytes:
    """Return a stack of equal pages at equal distances; `odd` is a page of another width."""
    parts = []
    for number in range(count):
        at = 8 + number * step
        width = 32 if number == odd else 64
        tags = hostile.page(
            t256=(hostile.LONG, [width]),
            t257=(hostile.LONG, [64 * 64 // width]),
            t258=(hostile.SHORT, [8]),
            t273=(hostile.LONG, [at + 1000]),
            t282=(5, np.array([72, 1], "<u4").tobytes()),
        )
        tags[278] = (hostile.LONG, [64 * 64 // width])
        after = at + step if number + 1 < count else 0
        made = hostile.ifd(tags, at=at, after=after).ljust(1000, b"\0")
        parts.append((made + bytes([number % 251]) * 4096).ljust(step, b"\0"))
    return b"II\x2a\0\x08\0\0\0" + b"".join(parts)


def test_a_stack_is_walked_in_few_round_trips_and_never_guessed() -> None:
    """The page of another form sits where the guess of equal distances is right."""
    data = stack(700, odd=333)
    far = CountingSource(BytesSource(data))
    memo = MemoryMemo()
    file = TiffFile.open(far, PlainContext(memo=memo))
    assert file.layers == 700
    assert far.trips < 20
    assert file.geometry(333).width == 32
    assert {file.geometry(layer).width for layer in range(700) if layer != 333} == {64}
    for layer in (0, 5, 332, 333, 334, 699):
        wide = file.geometry(layer).width
        assert (file.read(layer, 0, Grid(0, wide, 0, 2)) == layer % 251).all()
    again = CountingSource(BytesSource(data))
    file = TiffFile.open(again, PlainContext(memo=memo))
    assert file.layers == 700
    assert again.trips == 0
    file.read(699, 0, Grid(0, 64, 0, 64))
    assert again.trips <= 2


def test_pages_that_are_relinked_are_read_in_the_order_of_the_chain() -> None:
    """Page 9 is cut out of a stack at equal distances: what follows moves up."""
    data = bytearray(stack(30))
    at = 8 + 8 * 6000
    size = 2 + int.from_bytes(data[at : at + 2], "little") * 12
    data[at + size : at + size + 4] = (8 + 10 * 6000).to_bytes(4, "little")
    for source in (BytesSource(bytes(data)), CountingSource(BytesSource(bytes(data)))):
        file = TiffFile.open(source, PlainContext())
        assert file.layers == 29
        found = [int(file.read(layer, 0, Grid(0, 1, 0, 1))[0, 0]) for layer in range(29)]
        assert found == [number for number in range(30) if number != 9]


def test_the_index_grows_only_as_far_as_it_is_asked_for() -> None:
    data = stack(2000)
    memo = MemoryMemo()
    near = BytesSource(data)
    file = TiffFile.open(near, PlainContext(memo=memo))
    file.read(12, 0, Grid(0, 64, 0, 64))
    assert not file.is_whole
    (index,) = memo.entries.values()
    assert len(index) < 2000
    # One request for each layer, each in a process of its own: what is remembered grows.
    puts = 0
    for layer in range(0, 2000, 7):
        before = len(next(iter(memo.entries.values())))
        file = TiffFile.open(near, PlainContext(memo=memo))
        assert (file.read(layer, 0, Grid(0, 1, 0, 1)) == layer % 251).all()
        puts += len(next(iter(memo.entries.values()))) != before
    assert puts < 20


def test_a_memo_that_lies_is_no_harm() -> None:
    data = stack(20)
    memo = MemoryMemo()
    assert TiffFile.open(BytesSource(data), PlainContext(memo=memo)).layers == 20
    (key,) = memo.entries
    good = memo.entries[key]
    for bad in (b"", b"\xff" * 50, good[:100], good[:-3], good[:40] + b"\xff" * 40 + good[80:]):
        memo.entries[key] = bad
        assert TiffFile.open(BytesSource(data), PlainContext(memo=memo)).layers == 20
