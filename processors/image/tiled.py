"""Tiled: a TIFF in compressed tiles, directories first, written once all tiles are known.

There is no time, no name of a program and no path in it: equal pixels give equal bytes.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType, TracebackType
from typing import Any, Literal, NamedTuple, Self

import imagecodecs
import numpy as np

from processors.base import MIB, Sink
from processors.image.picture import Pixels
from processors.spool import Spool
from processors.tiff.directory import SHORT, Directory, aligned, header
from processors.tiff.write import Image, little, tags

Compression = Literal["deflate", "zstd", "none"]

# What a tag holds that is copied or added: its type and its values, or bytes of text.
TagValues = Mapping[int, tuple[int, tuple[int | float, ...] | bytes]]

_NUMBERS = {"none": 1, "deflate": 8, "zstd": 50000}
_DEFLATE_LEVEL, _ZSTD_LEVEL = 6, 9
_PREDICTOR, _DIFFERENCES = 317, 2
_ASCII = 2
_THREADS = 2
_COPY_BYTES = 8 * MIB
# Compressed tiles may grow; beyond this the offsets have 64 bits.
_CLASSIC_BYTES = 3 << 30


class Page(NamedTuple):
    """One page that is written."""

    image: Image
    is_reduced: bool = False
    more: TagValues = MappingProxyType({})

    def tiles(self, tile: int) -> tuple[int, int]:
        """Return how many tiles lie side by side, and one below the other."""
        return -(-self.image.width // tile), -(-self.image.height // tile)


class TiledWriter:
    """Takes rows of tiles, page by page in any order, and writes the whole at the end.

    Until then tiles lie in a temporary file: a directory names the places of all its tiles, and
    smaller pages come before larger ones. For one thread.
    """

    def __init__(
        self, pages: Sequence[Page], *, tile: int, compression: Compression, limit: int
    ) -> None:
        self._pages = pages
        self._tile = tile
        self._compression = compression
        self._whole = sum(_padded_bytes(page, tile) for page in pages)
        self._is_big = self._whole > _CLASSIC_BYTES
        self._tiles: list[list[tuple[int, int]]] = [[] for _ in pages]
        self._spool = Spool(limit)
        self._threads = ThreadPoolExecutor(_THREADS, "compress")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._spool.close()

    @property
    def size(self) -> int | None:
        """How large the file will be, where that does not depend on the pixels."""
        if self._compression != "none":
            return None
        return self._head_size + self._whole

    @property
    def _head_size(self) -> int:
        return 16 + sum(directory.size for directory in self._directories())

    def add(self, number: int, rows: Pixels) -> None:
        """Take the next row of tiles of a page: as many rows of pixels as a tile has, or the rest.

        What lies beyond the edges repeats the last pixel, so that it packs well.
        """
        tile = self._tile
        across, _ = self._pages[number].tiles(tile)
        more = ((0, tile - len(rows)), (0, across * tile - rows.shape[1]), (0, 0))
        padded = np.pad(rows, more, mode="edge") if any(pair[1] for pair in more) else rows
        parts = (padded[:, x * tile : (x + 1) * tile] for x in range(across))
        for packed in self._threads.map(self._packed, parts):
            self._tiles[number].append((self._spool.size, len(packed)))
            self._spool.write(packed)

    def _packed(self, pixels: Pixels) -> bytes:
        if self._compression == "none":
            return bytes(little(pixels))
        if _has_predictor(pixels.dtype):
            differences = pixels.copy()
            differences[:, 1:] -= pixels[:, :-1]
            pixels = differences
        data = little(pixels)
        if self._compression == "deflate":
            return zlib.compress(data, _DEFLATE_LEVEL)
        return bytes(imagecodecs.zstd_encode(bytes(data), level=_ZSTD_LEVEL))

    def _directories(self) -> list[Directory]:
        found = []
        for page in self._pages:
            directory = Directory(is_big=self._is_big)
            tags(page.image, directory)
            directory.set(254, 4, int(page.is_reduced))
            directory.set(259, SHORT, _NUMBERS[self._compression])
            if self._compression != "none" and _has_predictor(np.dtype(page.image.dtype)):
                directory.set(_PREDICTOR, SHORT, _DIFFERENCES)
            directory.set(322, 4, self._tile)
            directory.set(323, 4, self._tile)
            across, down = page.tiles(self._tile)
            directory.set_places(324, [0] * (across * down))
            directory.set_places(325, [0] * (across * down))
            for number, (kind, values) in page.more.items():
                if isinstance(values, bytes):
                    directory.set_raw(number, kind, values)
                else:
                    directory.set(number, kind, *values)  # type: ignore[arg-type]
            found.append(directory)
        return found

    def finish(self, sink: Sink, *, smallest_first: bool) -> None:
        """Write everything: directories in the order of the pages, then the tiles."""
        directories = self._directories()
        places = []
        at = 16
        for directory in directories:
            places.append(at)
            at += directory.size
        order = range(len(self._pages))
        for number in reversed(order) if smallest_first else order:
            sizes = [size for _, size in self._tiles[number]]
            starts = np.cumsum([at, *sizes])
            directories[number].set_places(324, starts[:-1].tolist())
            directories[number].set_places(325, sizes)
            at = int(starts[-1])
        sink.write(header(places[0], is_big=self._is_big))
        for directory, place, after in zip(directories, places, [*places[1:], 0], strict=True):
            sink.write(directory.at(place, after=after))
        for number in reversed(order) if smallest_first else order:
            for piece in self._stored(number):
                sink.write(piece)

    def _stored(self, number: int) -> Iterator[bytes]:
        """Yield the tiles of a page in order; neighbours in one piece."""
        run: list[tuple[int, int]] = []
        for start, size in self._tiles[number]:
            if run and (sum(run[-1]) != start or start + size - run[0][0] > _COPY_BYTES):
                yield self._spool.read(run[0][0], sum(run[-1]))
                run = []
            run.append((start, size))
        yield self._spool.read(run[0][0], sum(run[-1]))


def _padded_bytes(page: Page, tile: int) -> int:
    across, down = page.tiles(tile)
    pixel = page.image.samples * np.dtype(page.image.dtype).itemsize
    return aligned(across * down * tile * tile * pixel)


def _has_predictor(dtype: np.dtype[Any]) -> bool:
    # Differences of 64-bit numbers are read by few programs.
    return dtype.kind in "iu" and dtype.itemsize < 8  # noqa: PLR2004 - bytes


def text_tag(text: str) -> tuple[int, bytes]:
    """Return text as the value of a tag."""
    return _ASCII, text.encode() + b"\0"
