"""The typed values of a path: each parses from one segment and prints in one canonical form.

A spelling holds only characters that Windows takes in a file name, so that a mounted drive can use
every form. The kinds of value, and how their spellings are read, stand in `kinds`.
"""

from collections.abc import Iterable, Iterator
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

    @property
    def turned(self) -> Self:
        """The grid whose columns are the rows of this one."""
        return type(self)(self.y0, self.y1, self.x0, self.x1)

    def __str__(self) -> str:
        return f"{self.x0}-{self.x1}-{self.y0}-{self.y1}"


class Size(msgspec.Struct, frozen=True, order=True):
    """A width and a height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Range(msgspec.Struct, frozen=True, order=True):
    """Whole numbers from start to stop, without the end: "20-30"."""

    start: int
    stop: int

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.start}-{self.stop}"


class Interval(msgspec.Struct, frozen=True, order=True):
    """Real numbers from low to high: "-3.5..7"."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.low)}..{number(self.high)}"


class Layers(msgspec.Struct, frozen=True):
    """Layers in the order asked for: single numbers and half-open ranges, "12" or "12+15+20-30".

    `runs` are (start, stop) pairs. Two that follow each other without a gap are one: `merged`.
    """

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, *layers: int) -> Self:
        """Return just these layers."""
        if not layers:
            raise BadValue("no layer is named", example="layer=0")
        return cls.merged((layer, layer + 1) for layer in layers)

    @classmethod
    def merged(cls, runs: Iterable[tuple[int, int]]) -> Self:
        """Return the layers of `runs`, in their one canonical form."""
        whole: list[tuple[int, int]] = []
        for start, stop in runs:
            if whole and whole[-1][1] == start:
                whole[-1] = (whole[-1][0], stop)
            else:
                whole.append((start, stop))
        return cls(tuple(whole))

    def shifted(self, by: int) -> Self:
        """Return the layers whose numbers are higher by `by`."""
        return type(self)(tuple((start + by, stop + by) for start, stop in self.runs))

    def __iter__(self) -> Iterator[int]:
        return (layer for start, stop in self.runs for layer in range(start, stop))

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.runs)

    def __str__(self) -> str:
        return "+".join(
            str(start) if stop == start + 1 else f"{start}-{stop}" for start, stop in self.runs
        )


def number(value: float) -> str:
    """Return a real number in its shortest exact form: no point if it is whole, no plus sign."""
    return repr(value).removesuffix(".0").replace("e+", "e")
