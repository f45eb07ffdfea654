"""Geometry: what a page looks like, and into which segments it is cut."""

import struct
from collections.abc import Mapping

import msgspec
import numpy as np

from processors.base import Limits
from processors.errors import Malformed, ProcessingError, TooLarge, UnsupportedFormat
from processors.tiff.ifd import INTEGERS, TYPES, Head, Ifd, Order, raw_values
from processors.tiff.peek import Peek

CODECS: Mapping[int, str] = {
    1: "none",
    2: "ccitt-rle",
    3: "ccitt-t4",
    4: "ccitt-t6",
    5: "lzw",
    7: "jpeg",
    8: "deflate",
    32773: "packbits",
    32946: "deflate",
    33003: "jpeg2000",  # Aperio, in YCbCr
    33005: "jpeg2000",  # Aperio, in RGB
    34712: "jpeg2000",
    34887: "lerc",
    34925: "lzma",
    34926: "zstd",
    50000: "zstd",
    50001: "webp",
}
COLOURS: Mapping[int, str] = {
    0: "white-is-zero",
    1: "black-is-zero",
    2: "rgb",
    3: "palette",
    4: "mask",
    5: "separated",
    6: "ycbcr",
    8: "cielab",
    32803: "filter-array",
    34892: "linear-raw",
}
# What the form of a page follows from: the tags that are read for it.
SHAPING = (
    *(254, 255, 256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 317, 320, 322, 323),
    *(338, 339, 347, 530, 32997, 42113, 50674),
)
_OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
TABLES = (_TILE_OFFSETS, _OFFSETS, _TILE_COUNTS, _COUNTS)
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_LONGEST = {320: 3 << 16, 347: 1 << 20, 42113: 64}  # of tags that hold more than a few numbers
_MANY_SAMPLES = 4096
_BIGGEST_SIDE = 1 << 31


class Geometry(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a page looks like: its size, its samples, its segments and how they are packed.

    A segment is a tile or a strip; a strip is a tile as wide as the page. `bits` are those of a
    sample as it is stored; `dtype` is what it is read as.
    """

    width: int
    height: int
    samples: int
    bits: int
    dtype: str
    is_planar: bool
    """Whether each sample has segments of its own."""
    is_tiled: bool
    tile_width: int
    tile_height: int
    codec: str
    compression: int
    predictor: int
    colour: str
    photometric: int
    fill_order: int
    order: Order
    extra_samples: tuple[int, ...] = ()
    colour_map: bytes = b""
    """Red, green and blue of all values, 16 bits each, in the order of this machine."""
    jpeg_tables: bytes = b""
    subsampling: tuple[int, int] = (1, 1)
    t4_options: int = 0
    lerc_codec: int = 0
    nodata: float = 0.0
    is_reduced: bool = False
    is_mask: bool = False
    offset_bytes: int
    """Size of an entry of the table of offsets; 0 when there is no table."""
    count_bytes: int
    """The same of the table of byte counts."""
    entries: int
    """How many entries both tables have."""

    @property
    def across(self) -> int:
        """How many segments lie side by side."""
        return -(-self.width // self.tile_width)

    @property
    def down(self) -> int:
        """How many segments lie one below the other."""
        return -(-self.height // self.tile_height)

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return self.across * self.down * (self.samples if self.is_planar else 1)

    @property
    def depth(self) -> int:
        """How many samples a pixel has within a segment."""
        return 1 if self.is_planar else self.samples

    @property
    def itemsize(self) -> int:
        """Bytes of a sample as it is read."""
        return np.dtype(self.dtype).itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of a segment, decoded and still packed."""
        return -(-self.tile_width * self.depth * self.bits // 8)

    @property
    def segment_bytes(self) -> int:
        """The bytes of a whole segment, decoded and unpacked."""
        return self.tile_width * self.tile_height * self.depth * self.itemsize

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel as it is read, all samples."""
        return self.samples * self.itemsize


class Fault(msgspec.Struct, frozen=True, tag=True):
    """Why one page cannot be read. The others can."""

    error: str
    detail: str

    def raised(self) -> ProcessingError:
        """Return the error."""
        kinds = {"Malformed": Malformed, "TooLarge": TooLarge}
        return kinds.get(self.error, UnsupportedFormat)(self.detail)


def table(ifd: Ifd) -> tuple[int, int]:
    """Return where the tables of offsets and of byte counts lie; 0 for one that is not there."""
    tags = ifd.tags
    offsets = tags.get(_TILE_OFFSETS) or tags.get(_OFFSETS)
    counts = tags.get(_TILE_COUNTS) or tags.get(_COUNTS)
    return (offsets.at if offsets else 0, counts.at if counts else 0)


def shape(peek: Peek, ifd: Ifd, limits: Limits) -> dict[int, bytes]:
    """Return the bytes of all tags that the form of a page follows from, and of no others."""
    found: dict[int, bytes] = {}
    for number in SHAPING:
        tag = ifd.tags.get(number)
        if tag is not None:
            if tag.size > _LONGEST.get(number, 8 * _MANY_SAMPLES):
                raise TooLarge(f"the values of tag {number} are too many")
            found[number] = bytes([tag.kind]) + raw_values(peek, tag, limits)
    for number in TABLES:
        tag = ifd.tags.get(number)
        if tag is not None:
            found[number] = b"%d %d" % (tag.kind, tag.number)
    return found


class _Form:
    """Reads numbers out of the tags of a page, with the defaults of the TIFF specification."""

    def __init__(self, head: Head, ifd: Ifd, found: dict[int, bytes]) -> None:
        self._head = head
        self._tags = ifd.tags
        self._found = found

    def many(self, number: int) -> tuple[int, ...]:
        """Return all integers of a tag."""
        tag = self._tags.get(number)
        if tag is None:
            return ()
        if tag.kind not in INTEGERS:
            raise Malformed(f"tag {number} does not hold whole numbers")
        raw = self._found[number][1:]
        return struct.unpack(f"{self._head.order}{tag.number}{TYPES[tag.kind][1]}", raw)

    def one(self, number: int, default: int) -> int:
        """Return the first integer of a tag."""
        found = self.many(number)
        return found[0] if found else default

    def raw(self, number: int) -> bytes:
        """Return the bytes of a tag."""
        return self._found.get(number, b"")[1:]


def geometry(head: Head, ifd: Ifd, found: dict[int, bytes]) -> Geometry:
    """Return what the tags of a page say, `found` by `shape`. Malformed or UnsupportedFormat."""
    form = _Form(head, ifd, found)
    one = form.one
    width, height = one(256, 0), one(257, 0)
    if not (0 < width < _BIGGEST_SIDE and 0 < height < _BIGGEST_SIDE):
        raise Malformed(f"a page has no sensible size: {width} x {height}")
    if one(32997, 1) != 1:
        raise UnsupportedFormat("a page is a volume (tag ImageDepth)")
    samples = one(277, 1)
    if not 0 < samples <= _MANY_SAMPLES:
        raise Malformed(f"a pixel has {samples} samples")
    compression = one(259, 1)
    codec = CODECS.get(compression)
    if codec is None:
        raise UnsupportedFormat(
            f"compression {compression}", limit=", ".join(sorted(set(CODECS.values())))
        )
    photometric = one(262, 1)
    planar = one(284, 1)
    if planar not in {1, 2}:
        raise Malformed(f"planar configuration {planar}")
    is_planar = planar == 2 and samples > 1  # noqa: PLR2004 - separate planes
    is_tiled = _TILE_WIDTH in ifd.tags or _TILE_OFFSETS in ifd.tags
    tile_width = one(_TILE_WIDTH, 0) if is_tiled else width
    tile_height = one(_TILE_HEIGHT, 0) if is_tiled else min(one(278, height) or height, height)
    if not (0 < tile_width < _BIGGEST_SIDE and 0 < tile_height < _BIGGEST_SIDE):
        raise Malformed(f"a tile of {tile_width} x {tile_height}")
    bits, dtype = _sample(form, samples)
    offsets = ifd.tags.get(_TILE_OFFSETS) or ifd.tags.get(_OFFSETS)
    counts = ifd.tags.get(_TILE_COUNTS) or ifd.tags.get(_COUNTS)
    for tag in (offsets, counts):
        if tag is not None and (tag.kind not in INTEGERS or tag.kind == 1):
            raise Malformed("a table of segments does not hold whole numbers")
    subsampling = form.many(530)[:2]
    made = Geometry(
        width=width,
        height=height,
        samples=samples,
        bits=bits,
        dtype=dtype,
        is_planar=is_planar,
        is_tiled=is_tiled,
        tile_width=tile_width,
        tile_height=tile_height,
        codec=codec,
        compression=compression,
        predictor=one(317, 1),
        colour=COLOURS.get(photometric, f"colour {photometric}"),
        photometric=photometric,
        fill_order=one(266, 1),
        order=head.order,
        extra_samples=form.many(338)[:samples],
        colour_map=_colour_map(form, head, bits) if photometric == 3 else b"",  # noqa: PLR2004 - palette
        jpeg_tables=form.raw(347),
        subsampling=subsampling if len(subsampling) == 2 else (2, 2),  # noqa: PLR2004 - across and down
        t4_options=one(292, 0),
        lerc_codec=(*form.many(50674), 0, 0)[1],
        nodata=_nodata(form.raw(42113)),
        is_reduced=bool(one(254, 0) & 1) or one(255, 1) == 2,  # noqa: PLR2004 - the old tag
        is_mask=bool(one(254, 0) & 4),
        offset_bytes=TYPES[offsets.kind][0] if offsets else 0,
        count_bytes=TYPES[counts.kind][0] if counts else 0,
        entries=min(offsets.number, counts.number if counts else offsets.number) if offsets else 0,
    )
    if made.codec != "jpeg" and photometric == 6 and made.codec not in {"jpeg2000", "webp"}:  # noqa: PLR2004 - YCbCr
        raise UnsupportedFormat(f"YCbCr in {made.codec}")
    return made


def _sample(form: _Form, samples: int) -> tuple[int, str]:
    """Return the bits of a sample, and what it is read as."""
    all_bits, formats = form.many(258) or (1,), form.many(339) or (1,)
    if len(set(all_bits[:samples])) != 1 or len(set(formats[:samples])) != 1:
        raise UnsupportedFormat("the samples of a pixel differ in type")
    bits, kind = all_bits[0], formats[0]
    if kind in {3, 6}:
        names = {(3, 16): "float16", (3, 32): "float32", (3, 64): "float64"}
        names |= {(6, 64): "complex64", (6, 128): "complex128"}
        name = names.get((kind, bits))
        if name is None:
            raise UnsupportedFormat(f"{'float' if kind == 3 else 'complex'} of {bits} bits")  # noqa: PLR2004 - as above
        return bits, name
    if kind not in {1, 2, 4}:
        raise UnsupportedFormat(f"sample format {kind}")
    if not 0 < bits <= 64:  # noqa: PLR2004 - the widest integer there is
        raise UnsupportedFormat(f"whole numbers of {bits} bits")
    whole = next(size for size in (8, 16, 32, 64) if bits <= size)
    return bits, f"{'int' if kind == 2 else 'uint'}{whole}"  # noqa: PLR2004 - signed


def _colour_map(form: _Form, head: Head, bits: int) -> bytes:
    raw = form.raw(320)
    if bits > 16 or len(raw) != 6 << bits:  # noqa: PLR2004 - three of 16 bits for each value
        raise Malformed("the colour map does not fit the samples")
    return np.frombuffer(raw, head.order + "u2").astype(np.uint16).tobytes()


def _nodata(text: bytes) -> float:
    try:
        return float(text.split(b"\0")[0].decode("ascii", "replace"))
    except ValueError:
        return 0.0
