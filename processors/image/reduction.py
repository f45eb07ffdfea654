"""Reduction: a layer made smaller by averaging areas, block by block, each pixel with its share."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.base import Context
from processors.image.light import Light
from processors.image.picture import Picture
from processors.values import Grid, Size

_NOTHING = 1e-9

Sums = NDArray[np.float64]


class Axis(NamedTuple):
    """One direction: `whole` pixels of a level become `size`, of which start:stop are wanted."""

    whole: int
    size: int
    start: int
    stop: int

    @property
    def first(self) -> int:
        """The first pixel of the level that is needed."""
        return self.start * self.whole // self.size

    @property
    def end(self) -> int:
        """The pixel behind the last that is needed."""
        if self.size >= self.whole:
            return (self.stop - 1) * self.whole // self.size + 1
        return min(self.whole, -(-self.stop * self.whole // self.size))

    @property
    def area(self) -> float:
        """How many pixels of the level become one."""
        return max(1.0, self.whole / self.size)

    def summed(self, block: NDArray[Any], start: int) -> tuple[int, Sums]:
        """Return the sums of the rows of `block`, the first of which is row `start` of the level.

        They come as the number of the first new row and the new rows, some of which other blocks
        add to. A row that lies across an edge is shared by its height.
        """
        stop = start + len(block)
        if self.size >= self.whole:
            # Larger only by a rounding: each new row is the one that it lies in.
            rows = np.arange(self.start, self.stop) * self.whole // self.size
            inside = np.flatnonzero((rows >= start) & (rows < stop))
            return self.start + int(inside[0]), block[rows[inside] - start].astype(np.float64)
        first = max(self.start, start * self.size // self.whole)
        last = min(self.stop, -(-stop * self.size // self.whole))
        # The edges between new rows, in rows of the level: a number and a fraction.
        edges = np.arange(first, last + 1) * self.whole
        row, share = edges // self.size, (edges % self.size) / self.size
        begins, ends = (
            np.clip(row[:-1] - start, 0, len(block)),
            np.clip(row[1:] - start, 0, len(block)),
        )
        sums = np.zeros((last - first, *block.shape[1:]))
        # A loop over new rows: many times quicker than one `reduceat` for all.
        flat, into = block.reshape(len(block), -1), sums.reshape(len(sums), -1)
        for number, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            if begin < end:
                np.add.reduce(flat[begin:end], axis=0, dtype=np.float64, out=into[number])
        # A row with an edge inside was counted whole below the edge: a share of it moves up.
        inner = (row >= start) & (row < stop)
        shares = (inner * share).reshape(-1, *(1,) * (block.ndim - 1))
        moved = block[np.where(inner, row - start, 0)] * shares
        sums += moved[1:]
        sums -= moved[:-1]
        return first, sums


def reduced(
    picture: Picture,
    layer: int,
    level: int,
    light: Light,
    *,
    size: Size,
    grid: Grid,
    context: Context,
) -> Sums:
    """Return the part `grid` of the whole layer at `size`, as light: (rows, columns, channels).

    Each value is the average of the area that it covers; what is no finite number does not count,
    and is NaN where there is nothing else. Memory is that of the result and of one block. Nothing
    is decoded twice.
    """
    look = picture.look(layer, level)
    across = Axis(look.width, size.width, grid.x0, grid.x1)
    down = Axis(look.height, size.height, grid.y0, grid.y1)
    needed = Grid(across.first, across.end, down.first, down.end)
    shape = (grid.height, grid.width, light.channels)
    sums, missing = np.zeros(shape), None
    done, whole = 0, needed.width * needed.height
    for part in look.blocks(needed):
        block = light.before(picture.read(layer, level, part))
        with context.phase("reduce"):
            if block.dtype.kind == "f" and not (is_number := np.isfinite(block)).all():
                missing = np.zeros(shape) if missing is None else missing
                _add(~is_number, part, across, down, missing)
                block = np.where(is_number, block, 0)
            _add(block, part, across, down, sums)
        done += part.width * part.height
        context.progress(done, whole)
    area = across.area * down.area
    if missing is None:
        return np.divide(sums, area, out=sums)
    # A pixel of rounding errors only is none.
    counts = np.where(area - missing > area * _NOTHING, area - missing, np.nan)
    return np.divide(sums, counts, out=sums)


def _add(block: NDArray[Any], part: Grid, across: Axis, down: Axis, sums: Sums) -> None:
    y, rows = down.summed(block, part.y0)
    x, columns = across.summed(np.ascontiguousarray(rows.swapaxes(0, 1)), part.x0)
    top, left = y - down.start, x - across.start
    sums[top : top + len(rows), left : left + len(columns)] += columns.swapaxes(0, 1)
