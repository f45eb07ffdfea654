"""Uncompressed TIFF: bytes and size follow from the form of its pages alone.

All directories come first, then the pixels, page after page in strips. There is no time, no name
of a program and no path in it: equal pixels give equal bytes.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from processors.base import Sink
from processors.errors import UnsupportedFormat
from processors.tiff.directory import ASCII, SHORT, Directory, aligned, header
from processors.tiff.geometry import Geometry

_STRIP_BYTES = 1 << 20
_CLASSIC_BYTES = (1 << 32) - (1 << 20)
_PALETTE = 3
_COLOURS = {0, 1, 2, 3, 5, 8}


class Image(NamedTuple):
    """The form of one page that is written."""

    width: int
    height: int
    samples: int
    dtype: str
    photometric: int = 1
    extra_samples: tuple[int, ...] = ()
    colour_map: bytes = b""
    description: str = ""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * self.samples * np.dtype(self.dtype).itemsize

    @property
    def size(self) -> int:
        """Bytes of the pixels."""
        return self.row_bytes * self.height


def image(form: Geometry, width: int, height: int) -> Image:
    """Return the form of a window of a page, once its pixels are decoded."""
    photometric = 2 if form.photometric == 6 else form.photometric  # noqa: PLR2004 - decoded to RGB
    if photometric not in _COLOURS:
        photometric = 1
    colour_map = b""
    if photometric == _PALETTE:
        # The samples are read as whole bytes, so the map gets an entry for each value of those.
        whole = np.zeros((3, 1 << 8 * form.itemsize), np.uint16)
        whole[:, : 1 << form.bits] = np.frombuffer(form.colour_map, np.uint16).reshape(3, -1)
        colour_map = whole.astype("<u2").tobytes()
    return Image(
        width, height, form.samples, form.dtype, photometric, form.extra_samples, colour_map
    )


def tags(form: Image, directory: Directory) -> None:
    """Set the tags that every page has, whatever its segments are."""
    dtype = np.dtype(form.dtype)
    if dtype.kind not in "uifc":
        raise UnsupportedFormat(f"TIFF has no samples of type {form.dtype}")
    kinds = {"u": 1, "i": 2, "f": 3, "c": 6}
    colours = {2: 3, 5: 4, 8: 3}.get(form.photometric, 1)
    if form.samples < colours:
        colours, form = 1, form._replace(photometric=1)
    directory.set(254, 4, 0)
    directory.set(256, 4, form.width)
    directory.set(257, 4, form.height)
    directory.set(258, SHORT, *[dtype.itemsize * 8] * form.samples)
    directory.set(259, SHORT, 1)
    directory.set(262, SHORT, form.photometric)
    directory.set(277, SHORT, form.samples)
    directory.set(284, SHORT, 1)
    directory.set(339, SHORT, *[kinds[dtype.kind]] * form.samples)
    if form.samples > colours:
        more = form.samples - colours
        known = form.extra_samples if len(form.extra_samples) == more else (0,) * more
        directory.set(338, SHORT, *known)
    if form.colour_map:
        directory.set_raw(320, SHORT, form.colour_map)
    if form.description:
        directory.set_raw(270, ASCII, form.description.encode() + b"\0")


class Layout:
    """Knows where everything of an uncompressed TIFF lies, before there is a pixel."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images
        self._is_big = False
        self.size = self._arrange()
        if self.size > _CLASSIC_BYTES:
            self._is_big = True
            self.size = self._arrange()

    def _arrange(self) -> int:
        """Place directories and pixels, and return the size of it all."""
        self._directories = [self._directory(form) for form in self._images]
        at = 16
        self._places = []
        for directory, _ in self._directories:
            self._places.append(at)
            at += directory.size
        self._head_size = at
        self._data = []
        for form in self._images:
            self._data.append(at)
            at = aligned(at + form.size)
        return at

    def _directory(self, form: Image) -> tuple[Directory, list[int]]:
        directory = Directory(is_big=self._is_big)
        tags(form, directory)
        rows = max(1, _STRIP_BYTES // form.row_bytes)
        count = -(-form.height // rows)
        sizes = [rows * form.row_bytes] * count
        sizes[-1] = form.size - sum(sizes[:-1])
        directory.set(278, 4, min(rows, form.height))
        directory.set_places(273, [0] * count)
        directory.set_places(279, sizes)
        return directory, sizes

    def head(self) -> bytes:
        """Return all bytes before the first pixel."""
        parts = [header(self._places[0], is_big=self._is_big)]
        follows = [*self._places[1:], 0]
        for (directory, sizes), place, data, after in zip(
            self._directories, self._places, self._data, follows, strict=True
        ):
            starts = np.cumsum([data, *sizes[:-1]], dtype=np.uint64)
            directory.set_places(273, starts.tolist())
            parts.append(directory.at(place, after=after))
        head = b"".join(parts)
        assert len(head) == self._head_size
        return head

    def gap(self, number: int) -> int:
        """Return how many zero bytes follow the pixels of a page."""
        return aligned(self._images[number].size) - self._images[number].size


def tiff_size(images: Sequence[Image]) -> int:
    """Return the size of the TIFF that `write_tiff` makes of pages of such form."""
    return Layout(images).size


def write_tiff(
    sink: Sink, images: Sequence[Image], bands: Iterable[tuple[int, np.ndarray]]
) -> None:
    """Write an uncompressed TIFF. `bands` are (page, some rows of it), all of them, in order."""
    layout = Layout(images)
    sink.write(layout.head())
    page, left = 0, images[0].size
    for number, rows in bands:
        if number != page:
            assert left == 0, "rows of a page are missing"
            sink.write(bytes(layout.gap(page)))
            page, left = number, images[number].size
        data = little(rows)
        left -= len(data)
        sink.write(data)
    assert left == 0, "rows of the last page are missing"
    sink.write(bytes(layout.gap(page)))


def little(rows: np.ndarray) -> memoryview:
    """Return the bytes of an array, lowest byte of each number first."""
    stored = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    return stored.reshape(-1).view(np.uint8).data
