"""Codecs: the bytes of one segment become its samples, or Malformed.

The size of what comes out follows from the geometry alone. What the bytes say of it is only
compared, and that before anything is decoded.
"""

import lzma
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np

from processors.errors import Malformed, UnsupportedFormat
from processors.tiff.geometry import Geometry

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]

_codecs: Any = imagecodecs  # its type hints know no memoryview

_PREDICTED = frozenset({"lzw", "deflate", "zstd", "lzma"})
_IMAGES = frozenset({"jpeg", "jpeg2000", "webp", "lerc"})
_SCANS = 100
_SPARE_BYTES = 128
_WIDE_SAMPLES = 1 << 16
_LZMA_MEMORY = 128 << 20
_J2K_START = b"\xff\x4f\xff\x51"


def is_plain(form: Geometry) -> bool:
    """Tell whether the samples lie in the file as they are read, but for the order of bytes."""
    return form.codec == "none" and form.fill_order != 2 and form.bits in {8, 16, 32, 64, 128}  # noqa: PLR2004 - whole bytes


def scratch(form: Geometry) -> np.ndarray | None:
    """Return room for one segment at a time: new memory for each costs more than a copy.

    None where the codec gives an image in memory of its own.
    """
    return _room(form) if form.codec in _BYTES else None


def _room(form: Geometry) -> np.ndarray:
    return np.empty(form.row_bytes * form.tile_height + _SPARE_BYTES, np.uint8)


def decode(
    data: bytes | memoryview, form: Geometry, rows: int, room: np.ndarray | None = None
) -> Array:
    """Return the samples of a segment, shaped (rows, width, samples).

    `rows` is how many the segment must have; the last strip may have been written whole. The
    samples may lie in `room`, made by `scratch`, until it is used again.
    """
    try:
        if form.codec in _IMAGES:
            return _image(data, form, rows)
        if form.codec.startswith("ccitt"):
            return _fax(data, form, rows)
        packed = _unpacked(data, form, rows, room)
        return _samples(packed, form, rows)
    except (RuntimeError, ValueError, TypeError, struct.error, lzma.LZMAError, OverflowError) as e:
        # What the libraries say may quote anything of the file; the codec's name says enough.
        raise Malformed(f"a segment is not sound {form.codec} data ({type(e).__name__})") from e
    except EOFError as e:
        raise Malformed(f"a segment of {form.codec} data ends early") from e


def _unpacked(
    data: bytes | memoryview, form: Geometry, rows: int, room: np.ndarray | None
) -> np.ndarray:
    """Return the bytes of the samples: exactly `rows` rows of them."""
    size = form.row_bytes * rows
    whole = size if form.is_tiled else form.row_bytes * form.tile_height
    if form.fill_order == 2:  # noqa: PLR2004 - the lowest bit first
        data = _codecs.bitorder_decode(bytes(data))
    if form.codec == "none":
        if len(data) < size:
            raise Malformed("a segment is shorter than its geometry")
        return np.frombuffer(data, np.uint8, size)
    found = _BYTES[form.codec](data, _room(form) if room is None else room, whole)
    if len(found) not in {size, whole}:
        raise Malformed(
            f"a segment gives {_told(len(found), whole)} bytes where the geometry needs {size}"
        )
    return found[:size]


def _told(size: int, whole: int) -> str:
    return f"more than {whole}" if size > whole else str(size)


def _lzw(data: bytes | memoryview, room: np.ndarray, size: int) -> np.ndarray:
    found: np.ndarray = _codecs.lzw_decode(data, out=room[: size + 1])
    return found


def _packbits(data: bytes | memoryview, room: np.ndarray, size: int) -> np.ndarray:
    # Some writers end with a few bytes more than they need.
    found: np.ndarray = _codecs.packbits_decode(data, out=room[: size + _SPARE_BYTES])
    return found[:size]


def _deflate(data: bytes | memoryview, room: np.ndarray, size: int) -> np.ndarray:
    found: np.ndarray = _codecs.deflate_decode(data, out=room[:size])
    return found


def _zstd(data: bytes | memoryview, room: np.ndarray, size: int) -> np.ndarray:
    found: np.ndarray = _codecs.zstd_decode(data, out=room[:size])
    return found


def _lzma(data: bytes | memoryview, room: np.ndarray, size: int) -> np.ndarray:
    decoder = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    found = np.frombuffer(decoder.decompress(data, max_length=size + 1), np.uint8)
    room[: len(found)] = found
    return room[: len(found)]


_BYTES: dict[str, Callable[[bytes | memoryview, np.ndarray, int], np.ndarray]] = {
    "lzw": _lzw,
    "packbits": _packbits,
    "deflate": _deflate,
    "zstd": _zstd,
    "lzma": _lzma,
}


def _samples(packed: np.ndarray, form: Geometry, rows: int) -> Array:
    """Return the samples that lie packed in bytes."""
    shape = (rows, form.tile_width, form.depth)
    dtype = np.dtype(form.dtype)
    predictor = form.predictor if form.codec in _PREDICTED else 1
    if dtype.itemsize * 8 != form.bits:
        if predictor != 1:
            raise UnsupportedFormat(f"predictor {predictor} with {form.bits} bits")
        return _bits(packed, form, rows).reshape(shape)
    stored = dtype.newbyteorder(form.order)
    if predictor == 1:
        return packed.view(stored).reshape(shape)
    if predictor == 2:  # noqa: PLR2004 - differences
        whole = np.dtype(f"u{dtype.itemsize}") if dtype.kind != "c" else None
        if whole is None:
            raise UnsupportedFormat("predictor 2 with complex numbers")
        native = packed.view(whole).reshape(shape)
        if not stored.isnative:
            native.byteswap(inplace=True)
        _codecs.delta_decode(native, axis=1, out=native)
        return native.view(dtype)
    if predictor == 3 and dtype.kind == "f":  # noqa: PLR2004 - bytes of floats apart
        out: Array = _codecs.floatpred_decode(packed.view(dtype).reshape(shape), axis=1)
        return out
    raise UnsupportedFormat(f"predictor {predictor} with {form.dtype}")


def _bits(packed: np.ndarray, form: Geometry, rows: int) -> Array:
    """Return samples that are no whole bytes, or three, five, six or seven of them."""
    across, bits, dtype = form.tile_width * form.depth, form.bits, np.dtype(form.dtype)
    if bits == 1:
        found: Array = np.unpackbits(packed.reshape(rows, form.row_bytes), axis=1)[:, :across]
    elif bits % 8 == 0:
        count, step = rows * across, bits // 8
        padded = np.zeros((count, dtype.itemsize), np.uint8)
        # Of 24 bits GDAL and libtiff write the high byte first where the order is the other one.
        if (form.order == "<") != (bits == 24):  # noqa: PLR2004 - as the comment says
            padded[:, :step] = packed.reshape(count, step)
        else:
            padded[:, -step:] = packed.reshape(count, step)
        order = {"<": ">", ">": "<"}[form.order] if bits == 24 else form.order  # noqa: PLR2004 - likewise
        found = padded.view(f"{order}u{dtype.itemsize}").astype(f"u{dtype.itemsize}")
    elif bits in {2, 4} or bits < 32:  # noqa: PLR2004 - what the codec takes
        whole = np.dtype(f"u{dtype.itemsize}")
        found = _codecs.packints_decode(packed, whole, bits, runlen=across)
    else:
        found = _wide(packed.reshape(rows, form.row_bytes), across, bits)
    if dtype.kind == "i":
        shift = dtype.itemsize * 8 - bits
        found = (found.astype(dtype) << shift) >> shift
    return np.ascontiguousarray(found).reshape(rows, across)


def _wide(packed: np.ndarray, across: int, bits: int) -> Array:
    """Return unsigned samples of 33 to 63 bits, or of others that no codec takes."""
    width = 64 if bits > 32 else 32  # noqa: PLR2004 - bits of a number
    out = np.empty((len(packed), across), f"u{width // 8}")
    # In parts, since each bit takes a byte meanwhile; eight samples end where a byte ends.
    for row, target in zip(packed, out, strict=True):
        for start in range(0, across, _WIDE_SAMPLES):
            count = min(_WIDE_SAMPLES, across - start)
            first = start * bits // 8
            single = np.unpackbits(row[first : first - (-count * bits // 8)])[: count * bits]
            padded = np.zeros((count, width), np.uint8)
            padded[:, width - bits :] = single.reshape(count, bits)
            target[start : start + count] = np.packbits(padded, axis=1).view(f">u{width // 8}")[
                :, 0
            ]
    return out


def _image(data: bytes | memoryview, form: Geometry, rows: int) -> Array:
    """Return the samples of a segment that is an image in itself."""
    data = bytes(data)
    shape: tuple[int, ...] = (rows, form.tile_width, form.depth)
    flat = shape if form.depth > 1 else shape[:2]
    dtype = np.dtype(form.dtype)
    if form.codec == "jpeg":
        found = _jpeg(data, form, flat)
    elif form.codec == "jpeg2000":
        _check_jpeg2000(data, form, rows)
        found = _codecs.jpeg2k_decode(data)
        if form.compression == 33003 or (form.photometric == 6):  # noqa: PLR2004 - Aperio's YCbCr
            raise UnsupportedFormat("YCbCr in jpeg2000")
    elif form.codec == "webp":
        found = _codecs.webp_decode(data, out=np.empty(flat, np.uint8))
    else:
        if form.lerc_codec:
            most = 2 * form.segment_bytes + (1 << 16)
            unpack = {1: _deflate, 2: _zstd}.get(form.lerc_codec)
            if unpack is None:
                raise UnsupportedFormat(f"LERC within codec {form.lerc_codec}")
            data = unpack(data, np.empty(most, np.uint8), most).tobytes()
        found = _codecs.lerc_decode(data, out=np.empty(flat, dtype))
    if found.size != rows * form.tile_width * form.depth or found.shape[:2] != shape[:2]:
        raise Malformed(f"a segment holds an image of another size: {found.shape}, not {shape}")
    if found.dtype.itemsize != dtype.itemsize:
        raise Malformed(f"a segment holds {found.dtype}, not {form.dtype}")
    return found.reshape(shape)


def _jpeg(data: bytes, form: Geometry, shape: tuple[int, ...]) -> Array:
    if form.bits not in {8, 12}:
        raise UnsupportedFormat(f"JPEG with {form.bits} bits")
    if data.count(b"\xff\xda") > _SCANS:
        raise Malformed("a segment of JPEG data has too many scans")
    if data.rfind(b"\xff\xd9") < 0:
        raise Malformed("a segment of jpeg data ends early")
    space = result = None
    if not form.extra_samples and not form.is_planar:
        if form.photometric == 6:  # noqa: PLR2004 - YCbCr
            space, result = "YCBCR", "RGB"
        elif form.photometric == 2:  # noqa: PLR2004 - RGB
            space = result = "RGB"
        elif form.photometric == 5 and form.samples == 4:  # noqa: PLR2004 - CMYK
            space = result = "CMYK"
    found: Array = _codecs.jpeg_decode(
        data,
        tables=form.jpeg_tables or None,
        colorspace=space,
        outcolorspace=result,
        bitspersample=form.bits,
        out=np.empty(shape, np.dtype(form.dtype)),
    )
    return found


def _check_jpeg2000(data: bytes, form: Geometry, rows: int) -> None:
    """Compare what the data says of its size with the geometry; the decoder would believe it."""
    at = data.find(_J2K_START)
    if at < 0:
        raise Malformed("a segment is not sound jpeg2000 data")
    while at >= 0:
        x1, y1, x0, y0 = struct.unpack_from(">4I", data, at + 8)
        (samples,) = struct.unpack_from(">H", data, at + 40)
        if (x1 - x0, y1 - y0, samples) != (form.tile_width, rows, form.depth):
            raise Malformed("a segment of jpeg2000 data is of another size than its geometry")
        at = data.find(_J2K_START, at + 4)


def _fax(data: bytes | memoryview, form: Geometry, rows: int) -> Array:
    if form.bits != 1 or form.depth != 1:
        raise UnsupportedFormat("CCITT with more than one bit")
    data = bytes(data)
    if form.fill_order == 2:  # noqa: PLR2004 - the lowest bit first
        data = _codecs.bitorder_decode(data)
    width = form.tile_width
    if form.codec == "ccitt-t6":
        found = _codecs.ccittfax4_decode(data, rows, width)
    elif form.codec == "ccitt-t4":
        found = _codecs.ccittfax3_decode(data, rows, width, t4options=form.t4_options)
    else:
        found = _codecs.ccittrle_decode(data, rows, width)
    if found.shape[:2] != (rows, width):
        raise Malformed("a segment of CCITT data is of another size than its geometry")
    return np.ascontiguousarray(found, np.uint8).reshape(rows, width, 1)
