"""The typed values of a path: each parses from one segment and prints in one canonical form."""

from collections.abc import Iterator
from typing import Self

import msgspec

from processors.errors import BadValue


class Grid(msgspec.Struct, frozen=True, order=True):
    """A window: columns x0 to x1 and rows y0 to y1, zero-based, without the ends."""

    x0: int
    x1: int
    y0: int
    y1: int

    @property
    def width(self) -> int:
        """How many columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """How many rows."""
        return self.y1 - self.y0

    def __str__(self) -> str:
        return f"{self.x0}-{self.x1}-{self.y0}-{self.y1}"


class Size(msgspec.Struct, frozen=True, order=True):
    """A width and a height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Layers(msgspec.Struct, frozen=True):
    """Layers in the order asked for: single numbers and half-open ranges, "12" or "12+15+20-30".

    `runs` are (start, stop) pairs.
    """

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, *layers: int) -> Self:
        """Return just these layers."""
        if not layers:
            raise BadValue("no layer is named", example="12")
        return cls(tuple((layer, layer + 1) for layer in layers))

    def __iter__(self) -> Iterator[int]:
        return (layer for start, stop in self.runs for layer in range(start, stop))

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.runs)

    def __str__(self) -> str:
        return "+".join(
            str(start) if stop == start + 1 else f"{start}-{stop}" for start, stop in self.runs
        )
