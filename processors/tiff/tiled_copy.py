"""TiledCopy: the pixels of a page that is packed in giant segments, remembered in small ones.

A page of one compressed strip has no random access: each window costs all of it. The first window
pays that, and leaves a copy in tiles with what is remembered of the file; all others read that.
"""

import io
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import imagecodecs
import numpy as np

from processors.base import Context, Source
from processors.tiff.codecs import is_plain
from processors.tiff.directory import SHORT, Directory, header
from processors.tiff.geometry import Geometry
from processors.tiff.threads import POOL
from processors.tiff.write import image, tags

_GIANT_BYTES = 4 << 20
_MOST_BYTES = 256 << 20
_TILE = 256
_ZSTD = 50000
_FIRST = 16


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
    made = image(form, form.width, form.height)
    directory = Directory(is_big=True)
    tags(made, directory)
    predictor = {"f": 3, "c": 1}.get(pixels.dtype.kind, 2)
    directory.set(259, SHORT, _ZSTD)
    directory.set(317, SHORT, predictor)
    directory.set(322, SHORT, _TILE)
    directory.set(323, SHORT, _TILE)
    count = -(-form.width // _TILE) * -(-form.height // _TILE)
    directory.set_places(324, [0] * count)
    directory.set_places(325, [0] * count)
    out = io.BytesIO()
    out.write(header(_FIRST, is_big=True))
    out.write(bytes(directory.size))
    offsets, counts = [], []
    for data in POOL.mapped(partial(_packed, predictor), _tiles(pixels, context)):
        offsets.append(out.tell())
        counts.append(out.write(data))
    directory.set_places(324, offsets)
    directory.set_places(325, counts)
    out.seek(_FIRST)
    out.write(directory.at(_FIRST, after=0))
    context.memo.put(_kind(*place), source, out.getbuffer())


def _tiles(pixels: np.ndarray, context: Context) -> Iterator[np.ndarray]:
    for y in range(0, pixels.shape[0], _TILE):
        context.check()
        for x in range(0, pixels.shape[1], _TILE):
            yield pixels[y : y + _TILE, x : x + _TILE]


def _packed(predictor: int, part: np.ndarray) -> bytes:
    """Return the bytes of one tile, filled up with zeros at the edges."""
    whole = np.zeros((_TILE, _TILE, part.shape[2]), part.dtype.newbyteorder("<"))
    whole[: part.shape[0], : part.shape[1]] = part
    if predictor == 2:  # noqa: PLR2004 - differences
        whole = imagecodecs.delta_encode(whole.view(f"<u{part.dtype.itemsize}"), axis=1)
    elif predictor == 3:  # noqa: PLR2004 - bytes of floats apart
        whole = imagecodecs.floatpred_encode(whole, axis=1)
    return bytes(imagecodecs.zstd_encode(whole.tobytes(), level=1))


def _kind(layer: int, level: int) -> str:
    return f"tiff.tiles/1/{layer}/{level}"
