"""Tiled pages: pixels cut into tiles, packed, and written as they come."""

import os
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

import imagecodecs
import numpy as np

from processors.base import Context, Sink
from processors.errors import TooLarge
from processors.tiff.directory import SHORT, Directory, aligned
from processors.tiff.threads import POOL
from processors.tiff.write import Image, tags

Codec = Literal["none", "deflate", "zstd"]
_NUMBERS: dict[str, int] = {"none": 1, "deflate": 8, "zstd": 50000}
_LEVELS = {"deflate": 6, "zstd": 1}
_PALETTE = 3


class Raster(NamedTuple):
    """A picture that is read by rows: `rows(y0, y1)` gives them as (rows, columns, samples)."""

    form: Image
    rows: Callable[[int, int], np.ndarray]


class Appends(Protocol):
    """Takes packed tiles."""

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Write, and return where."""
        ...


class Appender:
    """Writes behind what it wrote before, into the file of a sink, up to the limit of a result."""

    def __init__(self, sink: Sink, start: int, context: Context) -> None:
        self._file = sink.fileno()
        self._context = context
        self.at = start

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Write, and return where."""
        at, limit = self.at, self._context.limits.output_bytes
        if at + len(data) > limit:
            raise TooLarge("the result is too large", limit=f"{limit} bytes")
        self.put(at, data)
        self.at = aligned(at + len(data))
        return at

    def put(self, at: int, data: bytes | bytearray | memoryview) -> None:
        """Write at a place."""
        left = memoryview(data)
        while left:
            done = os.pwrite(self._file, left, at)
            left, at = left[done:], at + done

    def finish(self) -> None:
        """Give the file its whole length: what follows the last tile is zero."""
        os.ftruncate(self._file, self.at)


class TiledPage:
    """One page in tiles. Its directory has its size from the start, its offsets when written."""

    def __init__(
        self, form: Image, *, codec: Codec, tile: int, is_big: bool, is_reduced: bool = False
    ) -> None:
        self.form = form
        self._codec = codec
        self._tile = tile
        self._dtype = np.dtype(form.dtype)
        self._predictor = _predictor(codec, self._dtype)
        self.directory = Directory(is_big=is_big)
        tags(form, self.directory)
        across, down = -(-form.width // tile), -(-form.height // tile)
        self.directory.set(254, 4, int(is_reduced))
        self.directory.set(259, SHORT, _NUMBERS[codec])
        if self._predictor > 1:
            self.directory.set(317, SHORT, self._predictor)
        self.directory.set(322, 4, tile)
        self.directory.set(323, 4, tile)
        self._offsets, self._counts = [0] * (across * down), [0] * (across * down)
        self._place()

    def write(self, rows: Callable[[int, int], np.ndarray], to: Appends, context: Context) -> None:
        """Read all rows, a row of tiles at a time, and write the tiles."""
        packed = POOL.mapped(self._packed, self._tiles(rows, context))
        for number, data in enumerate(packed):
            self._offsets[number], self._counts[number] = to.append(data), len(data)
        self._place()

    def _place(self) -> None:
        self.directory.set_places(324, self._offsets)
        self.directory.set_places(325, self._counts)

    def _tiles(
        self, rows: Callable[[int, int], np.ndarray], context: Context
    ) -> Iterator[np.ndarray]:
        tile, form = self._tile, self.form
        for y in range(0, form.height, tile):
            context.check()
            band = rows(y, min(form.height, y + tile))
            for x in range(0, form.width, tile):
                yield band[:, x : x + tile]

    def _packed(self, part: np.ndarray) -> bytes:
        """Return the bytes of one tile, filled up with zeros at the edges."""
        tile = self._tile
        whole = np.zeros((tile, tile, self.form.samples), self._dtype.newbyteorder("<"))
        whole[: part.shape[0], : part.shape[1]] = part
        if self._predictor == 2:  # noqa: PLR2004 - differences
            number = whole.view(f"<u{self._dtype.itemsize}")
            whole = imagecodecs.delta_encode(number, axis=1)
        elif self._predictor == 3:  # noqa: PLR2004 - bytes of floats apart
            whole = imagecodecs.floatpred_encode(whole, axis=1)
        raw = whole.tobytes()
        if self._codec == "deflate":
            return bytes(imagecodecs.deflate_encode(raw, level=_LEVELS["deflate"]))
        if self._codec == "zstd":
            return bytes(imagecodecs.zstd_encode(raw, level=_LEVELS["zstd"]))
        return raw


def _predictor(codec: Codec, dtype: np.dtype[np.generic]) -> int:
    if codec == "none" or dtype.kind == "c":
        return 1
    return 3 if dtype.kind == "f" else 2


def halved(form: Image) -> Image:
    """Return the form of the next smaller level. An odd side is rounded up."""
    return form._replace(width=-(-form.width // 2), height=-(-form.height // 2), description="")


def half(pixels: np.ndarray, form: Image) -> np.ndarray:
    """Return pixels at half the resolution: the mean of four, of a palette the first of four."""
    if form.photometric == _PALETTE:
        nearest: np.ndarray = pixels[::2, ::2]
        return nearest
    odd = (pixels.shape[0] % 2, pixels.shape[1] % 2)
    if any(odd):
        pixels = np.pad(pixels, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
    four = [pixels[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    if pixels.dtype.kind in "fc":
        # Divided first, so that four large numbers do not overflow.
        means: np.ndarray = sum(part / 4 for part in four[1:]) + four[0] / 4
        return means.astype(pixels.dtype)
    if pixels.dtype.itemsize < 8:  # noqa: PLR2004 - there is a wider type
        wide = np.dtype(f"{pixels.dtype.kind}{2 * pixels.dtype.itemsize}")
        total = sum(part.astype(wide) for part in four[1:]) + four[0]
        rounded: np.ndarray = ((total + 2) >> 2).astype(pixels.dtype)
        return rounded
    # Of 64 bits: quarters and rests apart.
    rests = sum(part & 3 for part in four[1:]) + (four[0] & 3)
    quarters: np.ndarray = sum(part >> 2 for part in four[1:]) + (four[0] >> 2)
    total64: np.ndarray = quarters + ((rests + 2) >> 2)
    return total64
