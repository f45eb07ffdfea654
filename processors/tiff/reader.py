"""Reader: the bytes of a plan become the pixels of its window."""

from concurrent.futures import Future, wait

import numpy as np

from processors.base import Context
from processors.errors import Malformed, TooLarge
from processors.tiff.codecs import decode, scratch
from processors.tiff.geometry import Geometry
from processors.tiff.kept import SEGMENTS, Key
from processors.tiff.peek import Peek
from processors.tiff.plan import Batch, ReadPlan, Segment, batches
from processors.tiff.threads import POOL

_SMALL_BYTES = 256 << 10


def read(peek: Peek, read: ReadPlan, context: Context) -> np.ndarray:
    """Return the pixels of a window: (rows, columns, samples). TooLarge when memory is short."""
    try:
        return _read(peek, read, context)
    except MemoryError:
        raise TooLarge(
            "the window takes more memory than there is", asked=f"grid {read.grid}"
        ) from None


def _read(peek: Peek, read: ReadPlan, context: Context) -> np.ndarray:
    form = read.page.form
    out = np.empty(read.shape, np.dtype(form.dtype))
    straight = _is_straight(read)
    identity = "" if read.is_direct else getattr(peek.source, "identity", "")
    keeper = _Keeper(identity, peek, read)
    rest = _copy_kept(keeper, out) if identity else read
    for batch in batches(rest, is_far=peek.is_far):
        context.check()
        if straight:
            with context.phase("read"):
                _read_straight(peek, batch, read, out)
            continue
        with context.phase("read"):
            pieces = peek.load(batch.spans)
        with context.phase("decode"):
            _place(batch, pieces, keeper, out, context)
    if straight and not np.dtype(form.dtype).newbyteorder(form.order).isnative:
        out.byteswap(inplace=True)
    return out


def _copy_kept(keeper: "_Keeper", out: np.ndarray) -> ReadPlan:
    """Copy what was decoded for another window; return what is left to be read."""
    read, rest = keeper.read, []
    for segment in read.segments:
        found = SEGMENTS.get(keeper.key(segment)) if segment.size else None
        if found is None:
            rest.append(segment)
        else:
            _copy(found, segment, read, out)
    return read._replace(segments=rest)


class _Keeper:
    """Keeps segments of one page for others; of a source without a name it keeps none."""

    def __init__(self, identity: str, peek: Peek, read: ReadPlan) -> None:
        self.read = read
        self._identity = identity
        self._version = peek.source.version
        self._page = read.page.row.ifd

    def key(self, segment: Segment) -> Key:
        """Return what a segment is kept by."""
        return Key(self._identity, self._version, self._page, segment.offset, segment.rows)

    def keep(self, segment: Segment, pixels: np.ndarray) -> None:
        """Keep a segment that was decoded."""
        if self._identity:
            SEGMENTS.keep(self.key(segment), pixels)


def _is_straight(read: ReadPlan) -> bool:
    """Tell whether the bytes of each segment are rows of the window as they are."""
    if not read.is_direct or read.stride != 1:
        return False
    grid = read.grid
    return all(
        s.left == grid.x0 and s.columns == grid.width and s.plane < 0 and s.size
        for s in read.segments
    )


def _read_straight(peek: Peek, batch: Batch, read: ReadPlan, out: np.ndarray) -> None:
    """Read segments to where they belong in the window; neighbours in one go."""
    flat = out.reshape(-1).view(np.uint8).data
    pitch = read.grid.width * read.page.form.pixel_bytes
    spans: list[tuple[int, int]] = []
    views: list[tuple[int, int]] = []
    for segment in batch.segments:
        start = (segment.top - read.grid.y0) * pitch
        if spans and sum(spans[-1]) == segment.offset and views[-1][1] == start:
            spans[-1] = (spans[-1][0], spans[-1][1] + segment.size)
            views[-1] = (views[-1][0], start + segment.size)
        else:
            spans.append((segment.offset, segment.size))
            views.append((start, start + segment.size))
    peek.load_into(spans, [flat[start:stop] for start, stop in views])


def _place(
    batch: Batch, pieces: list[memoryview], keeper: _Keeper, out: np.ndarray, context: Context
) -> None:
    """Decode the segments of a batch into the window, in this thread and in some that help."""
    read = keeper.read
    form = read.page.form
    count = len(batch.segments)
    numbers = iter(range(count))

    def drain(*, is_helper: bool) -> None:
        room = scratch(form)
        for number in numbers:  # each number is taken by one thread only
            segment, (piece, at) = batch.segments[number], batch.places[number]
            if piece < 0:
                _fill(segment, read, out)
            else:
                data = pieces[piece][at : at + segment.size]
                direct = read.is_direct
                found = (
                    _plain(data, segment, form)
                    if direct
                    else decode(data, form, segment.rows, room)
                )
                _copy(found, segment, read, out)
                if not direct:
                    keeper.keep(segment, found)
            if not is_helper:
                context.check()

    helpers: list[Future[None]] = []
    if not read.is_direct and count > 1 and count * form.segment_bytes >= _SMALL_BYTES:
        helping = range(POOL.helpers(count))
        helpers = [POOL.threads().submit(drain, is_helper=True) for _ in helping]
    try:
        drain(is_helper=False)
    finally:
        for _ in numbers:
            pass  # after an error nobody takes more, and none writes into the window later
        wait([helper for helper in helpers if not helper.cancel()])
    for helper in helpers:
        if not helper.cancelled():
            helper.result()


def _plain(data: memoryview, segment: Segment, form: Geometry) -> np.ndarray:
    dtype = np.dtype(form.dtype).newbyteorder(form.order)
    return np.frombuffer(data, dtype).reshape(segment.rows, segment.columns, form.depth)


def _reach(origin: int, length: int, start: int, stop: int, stride: int) -> tuple[slice, slice]:
    """Return which samples of a segment go where in the window, in one direction."""
    if stride == 1:
        source, end = max(0, start - origin), min(length, stop - origin)
        first = max(0, origin - start)
        return slice(source, end), slice(first, first + end - source)
    first = max(0, -(-(origin - start) // stride))
    source = start + first * stride - origin
    end = min(origin + length, stop) - origin
    count = max(0, -(-(end - source) // stride))
    return slice(source, end, stride), slice(first, first + count)


def _places(segment: Segment, read: ReadPlan) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    grid = read.grid
    y, to_y = _reach(segment.top, segment.rows, grid.y0, grid.y1, read.stride)
    x, to_x = _reach(segment.left, segment.columns, grid.x0, grid.x1, read.stride)
    return (y, x), (to_y, to_x)


def _copy(found: np.ndarray, segment: Segment, read: ReadPlan, out: np.ndarray) -> None:
    source, target = _places(segment, read)
    if segment.plane < 0:
        out[target] = found[source]
    else:
        out[(*target, segment.plane)] = found[(*source, 0)]


def _fill(segment: Segment, read: ReadPlan, out: np.ndarray) -> None:
    _, target = _places(segment, read)
    planes = slice(None) if segment.plane < 0 else segment.plane
    nodata = read.page.form.nodata
    try:
        out[(*target, planes)] = np.array(nodata).astype(out.dtype)
    except (OverflowError, ValueError):
        raise Malformed("the fill value does not fit the samples") from None
