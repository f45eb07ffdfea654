"""TiledCopy: the pixels of a page that is packed in giant segments, remembered in small ones.

A page of one compressed strip has no random access: each window costs all of it. The first window
pays that, and leaves a copy in tiles with what is remembered of the file; all others read that.
"""

import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from processors.base import Context, Source
from processors.tiff.codecs import is_plain
from processors.tiff.directory import header
from processors.tiff.geometry import Geometry
from processors.tiff.tiles import TiledPage
from processors.tiff.write import image

_GIANT_BYTES = 4 << 20
_MOST_BYTES = 256 << 20
_TILE = 256


class TiledCopy(NamedTuple):
    """A remembered copy as a source: a TIFF of one page."""

    name: str
    version: str
    data: memoryview

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end."""
        return bytes(self.data[offset : offset + size])

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each (offset, size)."""
        return (self.read_at(offset, size) for offset, size in spans)

    def fileno(self) -> int | None:
        """Return None."""
        return None


def is_giant(form: Geometry) -> bool:
    """Tell whether a page is to be read through a copy in tiles."""
    whole = form.width * form.height * form.pixel_bytes
    return not is_plain(form) and form.segment_bytes > _GIANT_BYTES and whole <= _MOST_BYTES


def remembered(source: Source, layer: int, level: int, context: Context) -> TiledCopy | None:
    """Return the copy of a page, if there is one."""
    value = context.memo.get(_kind(layer, level), source)
    return None if value is None else TiledCopy(source.name, source.version, value)


def remember(
    source: Source, place: tuple[int, int], form: Geometry, pixels: np.ndarray, context: Context
) -> None:
    """Remember a copy of a page with its file; `place` is (layer, level)."""
    page = TiledPage(image(form, form.width, form.height), codec="zstd", tile=_TILE, is_big=True)
    out = io.BytesIO()
    first = 16
    out.write(header(first, is_big=True))
    out.write(bytes(page.directory.size))
    page.write(lambda y0, y1: pixels[y0:y1], _Appended(out), context)
    out.seek(first)
    out.write(page.directory.at(first, after=0))
    context.memo.put(_kind(*place), source, out.getbuffer())


class _Appended:
    """Appends to bytes in memory."""

    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Write, and return where."""
        at = self._out.tell()
        self._out.write(data)
        return at


def _kind(layer: int, level: int) -> str:
    return f"tiff.tiles/1/{layer}/{level}"
