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
_LZMA_MEMORY = 128 << 20
_J2K_START = b"\xff\x4f\xff\x51"


def is_plain(form: Geometry) -> bool:
    """Tell whether the samples lie in the file as they are read, but for the order of bytes."""
    return form.codec == "none" and form.fill_order != 2 and form.bits in {8, 16, 32, 64, 128}  # noqa: PLR2004 - whole bytes


def decode(data: bytes | memoryview, form: Geometry, rows: int) -> Array:
    """Return the samples of a segment, shaped (rows, width, samples).

    `rows` is how many the segment must have; the last strip may have been written whole.
    """
    try:
        if form.codec in _IMAGES:
            return _image(data, form, rows)
        if form.codec.startswith("ccitt"):
            return _fax(data, form, rows)
        packed = _unpacked(data, form, rows)
        return _samples(packed, form, rows)
    except (RuntimeError, ValueError, TypeError, struct.error, lzma.LZMAError, OverflowError) as e:
        # What the libraries say may quote anything of the file; the codec's name says enough.
        raise Malformed(f"a segment is not sound {form.codec} data ({type(e).__name__})") from e
    except EOFError as e:
        raise Malformed(f"a segment of {form.codec} data ends early") from e


def _unpacked(data: bytes | memoryview, form: Geometry, rows: int) -> np.ndarray:
    """Return the bytes of the samples: exactly `rows` rows of them."""
    size = form.row_bytes * rows
    whole = size if form.is_tiled else form.row_bytes * form.tile_height
    if form.fill_order == 2:  # noqa: PLR2004 - the lowest bit first
        data = _codecs.bitorder_decode(bytes(data))
    if form.codec == "none":
        if len(data) < size:
            raise Malformed("a segment is shorter than its geometry")
        return np.frombuffer(data, np.uint8, size)
    found = _BYTES[form.codec](data, whole)
    if len(found) not in {size, whole}:
        raise Malformed(
            f"a segment gives {_told(len(found), whole)} bytes where the geometry needs {size}"
        )
    return np.frombuffer(found, np.uint8, size)


def _told(size: int, whole: int) -> str:
    return f"more than {whole}" if size > whole else str(size)


def _lzw(data: bytes | memoryview, size: int) -> bytes:
    found: bytes = _codecs.lzw_decode(data, out=size + 1)
    return found


def _packbits(data: bytes | memoryview, size: int) -> bytes:
    # Some writers end with a few bytes more than they need.
    found: bytes = _codecs.packbits_decode(data, out=size + 128)[:size]
    return found


def _deflate(data: bytes | memoryview, size: int) -> bytes:
    found: bytes = _codecs.deflate_decode(data, out=size)
    return found


def _zstd(data: bytes | memoryview, size: int) -> bytes:
    found: bytes = _codecs.zstd_decode(data, out=size)
    return found


def _lzma(data: bytes | memoryview, size: int) -> bytes:
    decoder = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    return decoder.decompress(data, max_length=size + 1)


_BYTES: dict[str, Callable[[bytes | memoryview, int], bytes]] = {
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
        native = packed.view(whole.newbyteorder(form.order)).astype(whole).reshape(shape)
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
    single = np.unpackbits(packed, axis=1)[:, : across * bits].reshape(len(packed), across, bits)
    padded = np.zeros((len(packed), across, 64 if bits > 32 else 32), np.uint8)  # noqa: PLR2004 - bits of a number
    padded[:, :, -bits:] = single
    size = padded.shape[2] // 8
    return np.packbits(padded, axis=2).view(f">u{size}").astype(f"u{size}")


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
            data = unpack(data, most)
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
