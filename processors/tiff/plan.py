"""ReadPlan: which bytes of a file a window needs, all limits checked before any is decoded."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from processors.base import Limits
from processors.errors import Malformed, OutOfRange, TooLarge
from processors.tiff.codecs import is_plain
from processors.tiff.geometry import Geometry
from processors.tiff.index import Page
from processors.tiff.peek import Peek
from processors.values import Grid

NEAR_GAP = 64 << 10
FAR_GAP = 1 << 20
_BATCH_BYTES = 32 << 20
# Of what a far store is asked for, at most a third is not needed. Of uncompressed segments some of
# that is spent on rows that are read whole: 1.2 * 1.25 = 1.5.
_WASTE, _DIRECT_WASTE, _ROW_WASTE = 0.5, 0.25, 0.2
_FEW_ENTRIES = 512
_CODES = {2: "H", 4: "I", 8: "Q"}


class Segment(NamedTuple):
    """One tile or strip that a window needs, or a row of one.

    It covers `rows` rows from `top` of the page and the columns from `left`. `size` bytes lie at
    `offset` of the file; 0: nothing was written, all of it is fill. `plane` is the sample that it
    holds, or -1 for all. `columns` is how many columns are stored.
    """

    offset: int
    size: int
    top: int
    left: int
    rows: int
    columns: int
    plane: int


class Batch(NamedTuple):
    """Segments that are read together: byte ranges, sorted, and where each segment is in them."""

    segments: list[Segment]
    spans: list[tuple[int, int]]
    places: list[tuple[int, int]]
    """For each segment the number of the range and the position within it; (-1, 0): fill."""


class ReadPlan(NamedTuple):
    """What it takes to read a window."""

    page: Page
    grid: Grid
    stride: int
    is_direct: bool
    """Rows are taken from where they lie, without looking at whole segments."""
    segments: list[Segment]
    stored_bytes: int
    decoded_bytes: int
    layer: int = 0
    level: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and samples of the window."""
        return (*size(self.grid, self.stride), self.page.form.samples)


def size(grid: Grid, stride: int) -> tuple[int, int]:
    """Return how many rows and columns a window has."""
    return -(-grid.height // stride), -(-grid.width // stride)


def check_grid(grid: Grid, form: Geometry) -> None:
    """Raise OutOfRange unless the window lies within the page."""
    inside = 0 <= grid.x0 < grid.x1 <= form.width and 0 <= grid.y0 < grid.y1 <= form.height
    if not inside:
        whole = f"0-{form.width}-0-{form.height}"
        raise OutOfRange(
            "the grid is not within the layer",
            asked=f"grid {grid}",
            limit=f"x 0-{form.width}, y 0-{form.height}",
            example=f"grid={whole}",
        )


def plan(
    peek: Peek, page: Page, grid: Grid, stride: int, limits: Limits, *, is_far: bool
) -> ReadPlan:
    """Find out what a window needs. TooLarge, Malformed or OutOfRange."""
    form = page.form
    if stride < 1:
        raise OutOfRange("the stride must be at least 1", asked=f"stride {stride}")
    is_direct = is_plain(form)
    whole = whole_segments(peek, page, grid, stride, limits, is_direct=is_direct)
    if is_direct:
        cut = _Direct(form, grid, stride, limits, FAR_GAP if is_far else NEAR_GAP)
        segments = list(cut.segments(whole, is_far=is_far))
        decoded = sum(segment.size for segment in segments)
    else:
        segments = list(whole)
        decoded = len(segments) * form.segment_bytes
    if max(segment.offset + segment.size for segment in segments) > peek.size:
        raise Malformed("a segment lies behind the end of the file")
    stored = sum(segment.size for segment in segments)
    _bound("bytes", stored, limits.touched_bytes, "bytes")
    return ReadPlan(page, grid, stride, is_direct, segments, stored, decoded)


def whole_segments(
    peek: Peek, page: Page, grid: Grid, stride: int, limits: Limits, *, is_direct: bool = False
) -> Iterator[Segment]:
    """Return all segments that a window touches; their sizes are bounded unless `is_direct`."""
    form = page.form
    check_grid(grid, form)
    if form.segments > form.entries:
        raise Malformed(
            f"a page has {form.segments} segments, but a table of {form.entries} entries"
        )
    down = _touched(grid.y0, grid.y1, stride, form.tile_height, limits)
    across = _touched(grid.x0, grid.x1, stride, form.tile_width, limits)
    planes = form.samples if form.is_planar else 1
    count = len(down) * len(across) * planes
    _bound("segments", count, limits.segments, "segments")
    if not is_direct:
        decoded, most = form.segment_bytes, limits.segment_decoded_bytes
        _bound("decoded bytes", count * decoded, limits.touched_bytes, "bytes")
        _bound("decoded bytes of a segment", decoded, most, "bytes")
    offsets, counts = _tables(peek, page, down, across, planes)
    if not is_direct:
        _bound("bytes of a segment", max(counts), limits.segment_bytes, "bytes")
    return _whole(form, down, across, offsets, counts)


def _bound(what: str, asked: int, limit: int, unit: str) -> None:
    if asked > limit:
        raise TooLarge(f"too many {what}", asked=f"{asked} {unit}", limit=f"{limit} {unit}")


def _touched(start: int, stop: int, stride: int, step: int, limits: Limits) -> range | list[int]:
    """Return the numbers of the segments that hold a sample of start:stop:stride."""
    count = -(-(stop - start) // stride)
    last = start + (count - 1) * stride
    if stride <= step:
        return range(start // step, last // step + 1)
    _bound("segments", count, limits.segments, "segments")
    return sorted({number // step for number in range(start, stop, stride)})


def _tables(
    peek: Peek, page: Page, down: range | list[int], across: range | list[int], planes: int
) -> tuple[list[int], list[int]]:
    """Return offset and byte count of each segment, by plane, then row, then column."""
    form, row = page.form, page.row
    first = down[0] * form.across + across[0]
    stop = down[-1] * form.across + across[-1] + 1
    if planes == 1 and stop - first <= _FEW_ENTRIES and form.count_bytes:
        places = [(row.offsets, form.offset_bytes), (row.counts, form.count_bytes)]
        both = peek.pieces([(at + first * width, (stop - first) * width) for at, width in places])
        tables = [
            struct.unpack(f"{form.order}{stop - first}{_CODES[width]}", raw)
            for raw, (_, width) in zip(both, places, strict=True)
        ]
        wanted = [y * form.across + x - first for y in down for x in across]
        offsets, counts = ([table[number] for number in wanted] for table in tables)
        return offsets, counts
    return _long_tables(peek, page, down, across, planes)


def _long_tables(
    peek: Peek, page: Page, down: range | list[int], across: range | list[int], planes: int
) -> tuple[list[int], list[int]]:
    """Return the same where not all that lies between is worth reading."""
    form, row = page.form, page.row
    rows = np.array(down, np.int64)
    firsts = (rows + np.arange(planes)[:, None] * form.down).ravel() * form.across + across[0]
    width = across[-1] - across[0] + 1
    runs = _runs(firsts, width)
    has_counts = form.count_bytes > 0
    spans = []
    for first, stop in runs:
        spans.append((row.offsets + first * form.offset_bytes, (stop - first) * form.offset_bytes))
    for first, stop in runs if has_counts else []:
        spans.append((row.counts + first * form.count_bytes, (stop - first) * form.count_bytes))
    raw = peek.pieces(spans)
    wanted = (firsts[:, None] + (np.array(across) - across[0])).ravel()
    offsets = _entries(raw[: len(runs)], runs, wanted, f"{form.order}u{form.offset_bytes}")
    if has_counts:
        counts = _entries(raw[len(runs) :], runs, wanted, f"{form.order}u{form.count_bytes}")
        return offsets, counts
    if form.codec == "none":
        return offsets, [form.row_bytes * form.tile_height] * len(offsets)
    if form.segments > 1:
        raise Malformed("a page does not say how long its segments are")
    return offsets, [max(0, peek.size - offset) for offset in offsets]


def _runs(firsts: np.ndarray, width: int) -> list[tuple[int, int]]:
    """Return the parts of a table to read: entries near each other together."""
    breaks = np.flatnonzero(np.diff(firsts) - width > 2 * width + 64) + 1
    starts = firsts[np.concatenate(([0], breaks))]
    stops = firsts[np.concatenate((breaks - 1, [len(firsts) - 1]))] + width
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _entries(
    raw: list[bytes], runs: list[tuple[int, int]], wanted: np.ndarray, dtype: str
) -> list[int]:
    starts = np.array([first for first, _ in runs])
    lengths = [stop - first for first, stop in runs]
    values = np.frombuffer(b"".join(raw), dtype)
    before = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    run = np.searchsorted(starts, wanted, side="right") - 1
    return values[before[run] + wanted - starts[run]].tolist()  # type: ignore[no-any-return]


def _whole(
    form: Geometry,
    down: range | list[int],
    across: range | list[int],
    offsets: list[int],
    counts: list[int],
) -> Iterator[Segment]:
    """Yield each segment, to be decoded as a whole."""
    place = iter(zip(offsets, counts, strict=True))
    for plane in range(form.samples) if form.is_planar else (-1,):
        for y in down:
            top = y * form.tile_height
            rows = _rows(form, top)
            for x in across:
                offset, size = next(place)
                size = size if offset else 0
                yield Segment(offset, size, top, x * form.tile_width, rows, form.tile_width, plane)


def _rows(form: Geometry, top: int) -> int:
    """Return how many rows a segment holds: the last strip holds fewer, a tile never."""
    return form.tile_height if form.is_tiled else min(form.tile_height, form.height - top)


class _Direct:
    """Cuts out of uncompressed segments what a window needs, and bounds in how many pieces."""

    def __init__(self, form: Geometry, grid: Grid, stride: int, limits: Limits, gap: float) -> None:
        self._form = form
        self._grid = grid
        self._stride = stride
        self._limits = limits
        self._gap = gap
        self._pixel = form.depth * form.itemsize
        self._pieces = 0

    def segments(self, whole: Iterator[Segment], *, is_far: bool) -> Iterator[Segment]:
        """Yield what is needed: full rows in one piece, or parts of single rows."""
        grid, stride, pitch, pixel = self._grid, self._stride, self._form.row_bytes, self._pixel
        seen, y0, y1 = -1, 0, 0
        for segment in whole:
            if segment.top != seen:
                seen = segment.top
                y0, y1 = _part(grid.y0, grid.y1, stride, segment.top, segment.rows)
            x0, x1 = _part(grid.x0, grid.x1, stride, segment.left, segment.columns)
            top, left, plane = segment.top + y0, segment.left + x0, segment.plane
            if not segment.size:
                yield Segment(0, 0, top, left, y1 - y0, x1 - x0, plane)
                continue
            if segment.size < y1 * pitch:
                raise Malformed("a segment is shorter than its geometry")
            wanted = (x1 - x0) * pixel
            # Whole rows, unless what lies between two wanted parts costs more than a read.
            spare = pitch * stride - wanted if y1 - y0 > 1 else pitch - wanted
            if spare <= (min(self._gap, wanted * _ROW_WASTE) if is_far else self._gap):
                at, size = segment.offset + y0 * pitch, (y1 - y0) * pitch
                yield Segment(at, size, top, segment.left, y1 - y0, segment.columns, plane)
                continue
            self._pieces += -(-(y1 - y0) // stride)
            _bound("pieces", self._pieces, self._limits.segments, "pieces")
            for row in range(y0, y1, stride):
                at = segment.offset + row * pitch + x0 * pixel
                yield Segment(at, wanted, segment.top + row, left, 1, x1 - x0, plane)


def _part(start: int, stop: int, stride: int, origin: int, length: int) -> tuple[int, int]:
    """Return the part of a segment that is needed: from its first sample to behind its last."""
    first = start if start >= origin else start + -(-(origin - start) // stride) * stride
    end = min(stop, origin + length)
    last = first + (end - first - 1) // stride * stride
    return first - origin, last - origin + 1


def batches(read: ReadPlan, *, is_far: bool) -> Iterator[Batch]:
    """Yield the segments in groups of bounded size, each with the byte ranges to read."""
    group: list[Segment] = []
    taken = 0
    gap, waste = NEAR_GAP, None
    if is_far:
        gap, waste = FAR_GAP, _DIRECT_WASTE if read.is_direct else _WASTE
    for segment in read.segments:
        if group and taken + segment.size > _BATCH_BYTES:
            yield _batch(group, gap, waste)
            group, taken = [], 0
        group.append(segment)
        taken += segment.size
    if group:
        yield _batch(group, gap, waste)


def _batch(segments: list[Segment], gap: int, waste: float | None) -> Batch:
    spans = merged([(s.offset, s.size) for s in segments if s.size], gap, waste)
    starts = [start for start, _ in spans]
    places = []
    for segment in segments:
        number = bisect_right(starts, segment.offset) - 1 if segment.size else -1
        places.append((number, segment.offset - starts[number] if number >= 0 else 0))
    return Batch(segments, spans, places)


def merged(
    spans: list[tuple[int, int]], gap: int, waste: float | None = None
) -> list[tuple[int, int]]:
    """Return sorted ranges that cover all spans, over gaps of at most `gap` bytes.

    The gaps never add up to more than `waste` times the bytes needed; the smallest are bridged
    first.
    """
    if not spans:
        return []
    if waste is None:
        return _bridged(sorted(spans), gap)
    sorted_spans = np.array(sorted(set(spans)), np.int64)
    starts, ends = sorted_spans[:, 0], sorted_spans.sum(axis=1)
    reach = np.maximum.accumulate(ends)
    gaps = starts[1:] - reach[:-1]
    joined = gaps <= 0
    between = np.maximum(gaps, 0)
    needed = int(reach[-1] - starts[0] - between.sum())
    order = np.argsort(between, kind="stable")
    sums = np.cumsum(between[order])
    joined[order[(sums <= needed * waste) & (between[order] <= gap)]] = True
    first = np.concatenate(([True], ~joined))
    last = np.concatenate((~joined, [True]))
    return list(zip(starts[first].tolist(), (reach[last] - starts[first]).tolist(), strict=True))


def _bridged(spans: list[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Return ranges over all gaps of at most `gap`."""
    found = []
    start, end = spans[0][0], sum(spans[0])
    for offset, length in spans:
        if offset - end > gap:
            found.append((start, end - start))
            start = offset
        end = max(end, offset + length)
    found.append((start, end - start))
    return found
