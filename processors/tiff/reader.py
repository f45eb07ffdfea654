"""Reader: the bytes of a plan become the pixels of its window."""

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import numpy as np

from processors.base import Context
from processors.errors import Malformed
from processors.tiff.codecs import decode
from processors.tiff.geometry import Geometry
from processors.tiff.peek import Peek
from processors.tiff.plan import Batch, ReadPlan, Segment, batches

_MOST_THREADS = 4
_SMALL_BYTES = 256 << 10


class Pool:
    """Decodes in threads of its own, which are made at the first use in each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0

    def threads(self) -> ThreadPoolExecutor:
        """Return the threads of this process."""
        with self._lock:
            if self._threads is None or self._process != os.getpid():
                count = min(_MOST_THREADS, os.cpu_count() or 1)
                self._threads = ThreadPoolExecutor(count, "tiff-decode")
                self._process = os.getpid()
            return self._threads


_POOL = Pool()


def read(peek: Peek, read: ReadPlan, context: Context) -> np.ndarray:
    """Return the pixels of a window: (rows, columns, samples)."""
    form = read.page.form
    out = np.empty(read.shape, np.dtype(form.dtype))
    for batch in batches(read, is_far=peek.is_far):
        context.check()
        with context.phase("read"):
            pieces = peek.pieces(batch.spans)
        with context.phase("decode"):
            _place(batch, pieces, read, out, context)
    return out


def _place(
    batch: Batch, pieces: list[bytes], read: ReadPlan, out: np.ndarray, context: Context
) -> None:
    """Decode the segments of a batch into the window."""
    form = read.page.form
    views = [memoryview(piece) for piece in pieces]

    def one(number: int) -> None:
        segment, (piece, at) = batch.segments[number], batch.places[number]
        if piece < 0:
            _fill(segment, read, out)
            return
        data = views[piece][at : at + segment.size]
        direct = read.is_direct
        found = _plain(data, segment, form) if direct else decode(data, form, segment.rows)
        _copy(found, segment, read, out)

    count = len(batch.segments)
    if read.is_direct or count == 1 or count * form.segment_bytes < _SMALL_BYTES:
        for number in range(count):
            one(number)
            if number % 64 == 63:  # noqa: PLR2004 - now and then
                context.check()
        return
    threads = _POOL.threads()
    waiting: set[Future[None]] = {threads.submit(one, number) for number in range(count)}
    try:
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            context.check()
    finally:
        for future in waiting:
            future.cancel()
        if waiting:
            wait(waiting)  # none writes into the window after this


def _plain(data: memoryview, segment: Segment, form: Geometry) -> np.ndarray:
    dtype = np.dtype(form.dtype).newbyteorder(form.order)
    return np.frombuffer(data, dtype).reshape(segment.rows, segment.columns, form.depth)


def _reach(origin: int, length: int, start: int, stop: int, stride: int) -> tuple[slice, slice]:
    """Return which samples of a segment go where in the window, in one direction."""
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
