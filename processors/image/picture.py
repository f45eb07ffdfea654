"""Picture: what can be looked at, a TIFF or an ordinary image, with layers and smaller levels."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.base import MIB, Context
from processors.errors import BadValue, OutOfRange, TooLarge
from processors.values import Grid

Pixels = NDArray[Any]

_BLOCK_BYTES = 16 * MIB


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one level of one layer looks like.

    `bits` are those that a sample uses. A segment, `tile_width` x `tile_height`, is what is decoded
    at once, so that windows along its edges decode nothing twice.
    """

    width: int
    height: int
    samples: int
    dtype: str
    bits: int
    colour: str
    tile_width: int
    tile_height: int
    has_alpha: bool = False
    colour_map: bytes = b""
    """Red, green and blue of all values, 16 bits each, in the order of this machine."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel, all samples."""
        return self.samples * np.dtype(self.dtype).itemsize

    @property
    def grid(self) -> Grid:
        """All of it."""
        return Grid(0, self.width, 0, self.height)

    def around(self, grid: Grid) -> Grid:
        """Return the window of whole segments that holds `grid`, cut at the edges."""
        wide, high = self.tile_width, self.tile_height
        return Grid(
            grid.x0 // wide * wide,
            min(-(-grid.x1 // wide) * wide, self.width),
            grid.y0 // high * high,
            min(-(-grid.y1 // high) * high, self.height),
        )

    def blocks(self, grid: Grid) -> Iterator[Grid]:
        """Yield windows that cover `grid` from top to bottom, none larger than some MiB.

        Their inner edges are edges of segments; one segment may be larger than that.
        """
        tile_bytes = self.tile_width * self.tile_height * self.pixel_bytes
        fits = max(1, _BLOCK_BYTES // tile_bytes)
        around = self.around(grid)
        across = -(-around.width // self.tile_width)
        wide = min(fits, across) * self.tile_width
        high = max(1, fits // across) * self.tile_height
        for y in range(around.y0, around.y1, high):
            for x in range(around.x0, around.x1, wide):
                yield Grid(
                    max(x, grid.x0),
                    min(x + wide, grid.x1),
                    max(y, grid.y0),
                    min(y + high, grid.y1),
                )


class Picture(ABC):
    """Gives the pixels of a source: layers, each with levels that grow smaller."""

    @property
    @abstractmethod
    def layers(self) -> int:
        """How many layers there are."""

    @abstractmethod
    def levels(self, layer: int) -> int:
        """Return how many levels a layer has; 0 is the largest."""

    @abstractmethod
    def look(self, layer: int, level: int = 0) -> Look:
        """Return what a level looks like."""

    @abstractmethod
    def read(self, layer: int, level: int, grid: Grid) -> Pixels:
        """Return the pixels of a window: rows, columns, samples."""

    def turn(self, layer: int) -> int:
        """Return how it is to be turned for a viewer, as EXIF counts: 1 is not at all."""
        return 1

    def checked(self, layer: int, name: str = "layer") -> Look:
        """Return what `layer` looks like; OutOfRange when there is no such layer."""
        if not 0 <= layer < self.layers:
            raise OutOfRange(
                f"there is no such {name}",
                asked=f"{name} {layer}",
                limit=f"0 to {self.layers - 1}",
                example=f"{name}=0",
            )
        return self.look(layer)

    def level_for(self, layer: int, width: int, height: int) -> int:
        """Return the smallest level that has `width` x `height` pixels.

        One pixel less is enough: some programs round the sizes of levels down, some up.
        """
        found, area = 0, None
        for level in range(self.levels(layer)):
            look = self.look(layer, level)
            fits = look.width >= width - 1 and look.height >= height - 1
            if fits and (area is None or look.width * look.height < area):
                found, area = level, look.width * look.height
        return found


def window(look: Look, grid: Grid | None) -> Grid:
    """Return `grid`, or all when there is none; OutOfRange when it is not inside, or empty."""
    if grid is None:
        return look.grid
    if not (0 <= grid.x0 < grid.x1 <= look.width and 0 <= grid.y0 < grid.y1 <= look.height):
        x0 = grid.x0 if 0 <= grid.x0 < look.width else 0
        y0 = grid.y0 if 0 <= grid.y0 < look.height else 0
        x1 = grid.x1 if x0 < grid.x1 <= look.width else look.width
        y1 = grid.y1 if y0 < grid.y1 <= look.height else look.height
        raise OutOfRange(
            "the grid is not inside the layer, or empty",
            asked=f"grid {grid}",
            limit=f"columns 0-{look.width}, rows 0-{look.height}",
            example=f"grid={Grid(x0, x1, y0, y1)}",
        )
    return grid


def one_band(look: Look, band: int | None) -> int | None:
    """Return `band`; OutOfRange when a pixel has no such sample."""
    if band is not None and not 0 <= band < look.samples:
        raise OutOfRange(
            "a pixel has no such band",
            asked=f"band {band}",
            limit=f"0 to {look.samples - 1}",
            example="band=0",
        )
    return band


def afford(look: Look, grid: Grid, context: Context, *, times: int = 1) -> int:
    """Return how many decoded bytes are touched by reading `grid`; TooLarge when too many."""
    limits = context.limits
    around = look.around(grid)
    touched = around.width * around.height * look.pixel_bytes * times
    if touched > limits.touched_bytes:
        raise TooLarge(
            "too many pixels would have to be decoded; a smaller window, or a file with smaller"
            " levels (a pyramid), takes fewer",
            asked=f"{touched} bytes",
            limit=f"{limits.touched_bytes} bytes",
        )
    segments = -(-around.width // look.tile_width) * -(-around.height // look.tile_height) * times
    if segments > limits.segments:
        raise TooLarge(
            "too many tiles or strips would have to be decoded",
            asked=f"{segments} tiles or strips",
            limit=f"{limits.segments} tiles or strips",
        )
    return touched


def bounded(name: str, value: float, least: float, most: float) -> None:
    """Raise BadValue when `value` is not between `least` and `most`."""
    if not least <= value <= most:
        raise BadValue(
            f"{name} is out of its bounds",
            asked=f"{name}={value:g}",
            limit=f"{least:g} to {most:g}",
            example=f"{name}={most if value > most else least:g}",
        )
