"""Pyramids: a COG of one picture, and an OME-TIFF of several layers."""

from collections.abc import Sequence
from functools import partial
from xml.sax.saxutils import quoteattr

import numpy as np

from processors.base import Context, Sink
from processors.errors import TooLarge, UnsupportedFormat
from processors.tiff.directory import Directory, aligned, header
from processors.tiff.tiles import Appender, Codec, Raster, TiledPage, half, halved
from processors.tiff.write import Image

_TILE = 512
_BIG_BYTES = 3 << 30
_OME = {
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
}
_SUB_IFDS, _LONG, _LONG8 = 330, 4, 16


def levels(form: Image, tile: int = _TILE) -> list[Image]:
    """Return the forms of all levels of a picture, down to one that fits in a tile."""
    found = [form]
    while max(found[-1].width, found[-1].height) > tile:
        found.append(halved(found[-1]))
    return found


def write_cog(
    sink: Sink, raster: Raster, context: Context, *, codec: Codec = "deflate", tile: int = _TILE
) -> None:
    """Write a cloud optimised GeoTIFF: directories first, then the levels, the smallest first.

    The picture is read twice: for the levels and for itself. TooLarge when the levels do not fit
    into memory.
    """
    forms = levels(raster.form, tile)
    _check([raster.form], context)
    is_big = raster.form.size > _BIG_BYTES
    pages = [
        TiledPage(form, codec=codec, tile=tile, is_big=is_big, is_reduced=number > 0)
        for number, form in enumerate(forms)
    ]
    places = _placed([page.directory for page in pages])
    to = Appender(sink, places[-1], context)
    smaller = _smaller(raster, forms, tile, context)
    for page, pixels in reversed(list(zip(pages[1:], smaller, strict=True))):
        page.write(partial(_rows, pixels), to, context)
    pages[0].write(raster.rows, to, context)
    to.put(0, header(places[0], is_big=is_big))
    for page, at, after in zip(pages, places, [*places[1:-1], 0], strict=False):
        to.put(at, page.directory.at(at, after=after))
    to.finish()


def write_ome(
    sink: Sink,
    rasters: Sequence[Raster],
    context: Context,
    *,
    codec: Codec = "deflate",
    tile: int = _TILE,
) -> None:
    """Write an OME-TIFF: each layer a plane along Z, with its smaller levels as SubIFDs.

    All layers are of one form.
    """
    form = rasters[0].form
    if any(raster.form[:4] != form[:4] for raster in rasters):
        raise UnsupportedFormat("the layers of an OME-TIFF are of one size and type")
    _check([raster.form for raster in rasters], context)
    is_big = form.size * len(rasters) > _BIG_BYTES
    described = form._replace(description=ome_xml(form, len(rasters)))
    pages: list[list[TiledPage]] = []
    for number, raster in enumerate(rasters):
        first = described if number == 0 else raster.form
        pages.append(
            [
                TiledPage(level, codec=codec, tile=tile, is_big=is_big, is_reduced=depth > 0)
                for depth, level in enumerate(levels(first, tile))
            ]
        )
        if subs := len(pages[-1]) - 1:
            pages[-1][0].directory.set(_SUB_IFDS, _LONG8 if is_big else _LONG, *[0] * subs)
    flat = [page for layer in pages for page in layer]
    places = _placed([page.directory for page in flat])
    to = Appender(sink, places[-1], context)
    for number, (raster, layer) in enumerate(zip(rasters, pages, strict=True)):
        context.progress(number, len(rasters))
        smaller = _smaller(raster, [page.form for page in layer], tile, context)
        layer[0].write(raster.rows, to, context)
        for page, pixels in zip(layer[1:], smaller, strict=True):
            page.write(partial(_rows, pixels), to, context)
    to.put(0, header(places[0], is_big=is_big))
    depth = len(pages[0])
    for number, page in enumerate(flat):
        at = places[number]
        after = 0
        if number % depth == 0:
            after = places[number + depth] if number + depth < len(flat) else 0
            if depth > 1:
                page.directory.set_places(_SUB_IFDS, places[number + 1 : number + depth])
        to.put(at, page.directory.at(at, after=after))
    to.finish()


def ome_xml(form: Image, layers: int) -> str:
    """Return the description of the layers, as OME writes it."""
    kind = _OME.get(form.dtype)
    if kind is None:
        raise UnsupportedFormat(
            f"OME has no samples of type {form.dtype}", limit=", ".join(sorted(_OME))
        )
    pixels = {
        "ID": "Pixels:0",
        "DimensionOrder": "XYCZT",
        "Type": kind,
        "SizeX": form.width,
        "SizeY": form.height,
        "SizeC": form.samples,
        "SizeZ": layers,
        "SizeT": 1,
        "Interleaved": "true" if form.samples > 1 else "false",
        "BigEndian": "false",
    }
    about = " ".join(f"{name}={quoteattr(str(value))}" for name, value in pixels.items())
    blocks = "".join(
        f'<TiffData IFD="{number}" FirstZ="{number}" PlaneCount="1"/>' for number in range(layers)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 '
        'http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd">'
        f'<Image ID="Image:0"><Pixels {about}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="{form.samples}"/>{blocks}'
        "</Pixels></Image></OME>"
    )


def _rows(pixels: np.ndarray, y0: int, y1: int) -> np.ndarray:
    return pixels[y0:y1]


def _placed(directories: list[Directory]) -> list[int]:
    """Return where each directory lies, and where the data begin."""
    places = [16]
    for directory in directories:
        places.append(aligned(places[-1] + directory.size))
    return places


def _smaller(raster: Raster, forms: list[Image], tile: int, context: Context) -> list[np.ndarray]:
    """Return the pixels of all levels but the first."""
    if len(forms) == 1:
        return []
    form = forms[1]
    out = np.empty((form.height, form.width, form.samples), np.dtype(form.dtype))
    for y in range(0, form.height, tile):
        context.check()
        end = min(form.height, y + tile)
        out[y:end] = half(raster.rows(2 * y, min(raster.form.height, 2 * end)), raster.form)
    found = [out]
    for _ in forms[2:]:
        context.check()
        found.append(half(found[-1], form))
    return found


def _check(forms: Sequence[Image], context: Context) -> None:
    """Refuse what would take too many pixels, or more memory than there is, for the levels."""
    limits = context.limits
    pixels = sum(form.width * form.height for form in forms)
    if pixels > limits.pixels:
        raise TooLarge("too many pixels", asked=f"{pixels} pixels", limit=f"{limits.pixels} pixels")
    memory = max(form.size for form in forms) // 3
    if memory > limits.memory_bytes // 2:
        raise TooLarge(
            "the smaller levels take too much memory",
            asked=f"{memory} bytes",
            limit=f"{limits.memory_bytes // 2} bytes",
        )
