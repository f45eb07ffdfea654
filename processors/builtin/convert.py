"""Convert: layers in another file format, every pixel as it is."""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np

from processors.base import MIB, Context, Limits, Output, Params, Plan, Processor, Sink, Source
from processors.builtin.preview import facts
from processors.errors import OutOfRange, TooLarge, UnsupportedFormat
from processors.image.halving import Halving
from processors.image.npy import npy_head
from processors.image.opening import open_picture
from processors.image.picture import Look, Picture, Pixels, afford
from processors.image.png import png
from processors.image.tiff_picture import TiffPicture
from processors.image.tiled import Compression, Page, TagValues, TiledWriter, text_tag
from processors.tiff.ifd import raw_values
from processors.tiff.ifd import values as tag_values
from processors.tiff.write import Image, little
from processors.values import Grid, Layers

_MEDIA_TYPES = {
    "tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    "ome.tif": "image/tiff",
    "npy": "application/x-npy",
    "png": "image/png",
}
_COLOURS = {"rgb": 2, "palette": 3, "white-is-zero": 0, "separated": 5, "cielab": 8}
_OME_TYPES = {
    **{name: name for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32")},
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
}
# Where on earth it lies, its fill value, and what GDAL adds.
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
_GEO_BYTES = 1 * MIB
_PNG_SAMPLES = 4
_NODATA, _ASCII, _OPACITY = 42113, 2, 2


class ConvertParams(Params, frozen=True, kw_only=True):
    """What a conversion takes."""

    layers: Layers | None = None
    """Which layers, counted from zero, all without it. `tif` and `png` hold one."""

    compression: Compression = "deflate"
    """How the tiles of a TIFF are packed. With `none` the size is known beforehand; not every
    program knows `zstd`."""

    tile: Literal[256, 512] = 512
    """The side of a tile of a TIFF in pixels."""


class _Work(NamedTuple):
    """What is read."""

    picture: Picture
    layers: tuple[int, ...]
    look: Look


class Convert(Processor):
    """Writes layers as a cloud-optimised TIFF, OME-TIFF, npy or png; no pixel is changed.

    `tif` is a COG: tiles, smaller levels made by averaging (by leaving out where there is a palette
    or a fill value, of complex numbers, and of whole numbers of 64 bits), directories first and the
    smallest level next; what places a GeoTIFF on earth is kept. `ome.tif` holds layers as planes
    along Z. `npy` is one array, with an axis for layers where there are several. `png` takes 8 and
    16 bits; for others there is `preview`.
    """

    name = "convert"
    version = 2
    pattern = "{source:path}/{layers:layers}"
    params: ClassVar[type[Params]] = ConvertParams
    formats = ("tif", "ome.tif", "npy", "png")

    def plan(self, source: Source, params: ConvertParams, context: Context) -> Plan:  # noqa: D102
        work = _work(source, params, context)
        look = work.look
        touched = afford(look, look.grid, context, times=len(work.layers))
        size = _size(work, params)
        if size is not None and size > context.limits.output_bytes:
            raise TooLarge(
                "the result is too large",
                asked=f"{size} bytes",
                limit=f"{context.limits.output_bytes} bytes",
            )
        return Plan(
            outputs=(Output(media_type=_MEDIA_TYPES[params.format], size=size),),
            bytes_wanted=min(source.size, touched),
            decoded_bytes=touched,
            memory_bytes=_afford_memory(work, params, context),
            pixels=look.width * look.height * len(work.layers),
        )

    def run(self, source: Source, params: ConvertParams, sink: Sink, context: Context) -> None:  # noqa: D102
        work = _work(source, params, context)
        afford(work.look, work.look.grid, context, times=len(work.layers))
        _afford_memory(work, params, context)
        match params.format:
            case "tif":
                _write_cog(work, params, sink, context)
            case "ome.tif":
                _write_ome(work, params, sink, context)
            case "npy":
                sink.write(_npy_head(work))
                for _, rows in _rows(work, params.tile, context):
                    sink.write(little(rows))
            case _:
                _write_png(work, params, sink, context)

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return facts(open_picture(source, context))

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        return range(open_picture(source, context).layers) if name == "layers" else None


def _work(source: Source, params: ConvertParams, context: Context) -> _Work:
    picture = open_picture(source, context)
    is_single = params.format in {"tif", "png"}
    chosen = params.layers
    if chosen is None:
        chosen = Layers(((0, picture.layers),))
    limit = 1 if is_single else context.limits.segments
    if len(chosen) > limit:
        raise TooLarge(
            f"a {params.format} holds fewer layers",
            asked=f"{len(chosen)} layers",
            limit=f"{limit} layers",
            example="layers=0",
        )
    count = picture.layers
    if any(not 0 <= start < stop <= count for start, stop in chosen.runs):
        raise OutOfRange(
            "there are no such layers",
            asked=f"layers {chosen}",
            limit=f"0-{count}",
            example="layers=0",
        )
    layers = tuple(chosen)
    look = picture.look(layers[0])
    for layer in layers:
        other = picture.look(layer)
        if (other.width, other.height, other.samples, other.dtype) != (
            look.width,
            look.height,
            look.samples,
            look.dtype,
        ):
            raise OutOfRange(
                f"layers {layers[0]} and {layer} differ in form",
                asked=f"layers {chosen}",
                limit="layers of one size and type",
                example=f"layers={layers[0]}",
            )
    _check_format(look, params.format)
    return _Work(picture, layers, look)


def _check_format(look: Look, form: str) -> None:
    if form == "png" and (look.dtype not in {"uint8", "uint16"} or look.samples > _PNG_SAMPLES):
        raise UnsupportedFormat(
            f"a png does not hold {look.samples} samples of {look.dtype}; a preview does",
            limit="1 to 4 samples of uint8 or uint16",
            example="format=tif",
        )
    if form == "ome.tif" and look.dtype not in _OME_TYPES:
        raise UnsupportedFormat(
            f"an OME-TIFF has no type {look.dtype}",
            limit=", ".join(_OME_TYPES),
            example="format=tif",
        )


def _extra(work: _Work) -> tuple[int, ...]:
    """Return what the samples behind the colours mean, as the tag has it."""
    if isinstance(work.picture, TiffPicture):
        return work.picture.file.geometry(work.layers[0]).extra_samples
    return (_OPACITY,) if work.look.has_alpha else ()


def _image(work: _Work, width: int, height: int) -> Image:
    look = work.look
    photometric = _COLOURS.get(look.colour, 1)
    colour_map = b""
    if look.colour == "palette":
        # The samples are whole bytes now, so the map gets an entry for each value of those.
        whole = np.zeros((3, 1 << 8 * np.dtype(look.dtype).itemsize), np.uint16)
        whole[:, : 1 << look.bits] = np.frombuffer(look.colour_map, np.uint16).reshape(3, -1)
        colour_map = whole.astype("<u2").tobytes()
    return Image(width, height, look.samples, look.dtype, photometric, _extra(work), colour_map)


def _rows(work: _Work, high: int, context: Context) -> Iterator[tuple[int, Pixels]]:
    """Yield the rows of all layers, `high` at a time; a block that is read is read once."""
    look = work.look
    done, whole = 0, look.height * len(work.layers)
    # As many rows as hold whole segments and whole tiles of the result.
    step = -(-max(high, look.tile_height) // high) * high
    for number, layer in enumerate(work.layers):
        held = np.empty((0, look.width, look.samples), look.dtype)
        read = 0
        while read < look.height:
            end = min(look.height, -(-(read + step) // look.tile_height) * look.tile_height)
            more = work.picture.read(layer, 0, Grid(0, look.width, read, end))
            held = np.concatenate([held, more]) if len(held) else more
            read = end
            ready = len(held) if read == look.height else len(held) // high * high
            for at in range(0, ready, high):
                part = held[at : min(at + high, ready)]
                yield number, part
                done += len(part)
                context.progress(done, whole)
            held = held[ready:]


def _afford_memory(work: _Work, params: ConvertParams, context: Context) -> int:
    look = work.look
    rows = look.height if params.format == "png" else 3 * max(params.tile, look.tile_height)
    needed = 64 * MIB + 3 * look.width * min(rows, look.height) * look.pixel_bytes
    limit = context.limits.memory_bytes
    if needed > limit:
        raise TooLarge(
            "rows of that width do not fit into memory",
            asked=f"{needed} bytes",
            limit=f"{limit} bytes",
        )
    return needed


def _npy_head(work: _Work) -> bytes:
    look = work.look
    shape: tuple[int, ...] = (look.height, look.width)
    if look.samples > 1:
        shape = (*shape, look.samples)
    if len(work.layers) > 1:
        shape = (len(work.layers), *shape)
    return npy_head(np.dtype(look.dtype), shape)


def _size(work: _Work, params: ConvertParams) -> int | None:
    look = work.look
    if params.format == "npy":
        pixels = look.width * look.height * len(work.layers)
        return len(_npy_head(work)) + pixels * look.pixel_bytes
    if params.format == "png" or params.compression != "none":
        return None
    pages = _cog_pages(work, params) if params.format == "tif" else _ome_pages(work)
    with TiledWriter(pages, tile=params.tile, compression="none", limit=0) as writer:
        return writer.size


def _cog_pages(work: _Work, params: ConvertParams) -> list[Page]:
    look = work.look
    pages = [Page(_image(work, look.width, look.height), more=_geo_tags(work))]
    width, height = look.width, look.height
    while max(width, height) > params.tile:
        width, height = -(-width // 2), -(-height // 2)
        pages.append(Page(_image(work, width, height), is_reduced=True, more=_nodata(pages[0])))
    return pages


def _nodata(page: Page) -> TagValues:
    return {number: value for number, value in page.more.items() if number == _NODATA}


def _geo_tags(work: _Work) -> TagValues:
    """Return the tags of the source that are kept."""
    if not isinstance(work.picture, TiffPicture):
        return {}
    peek, head, ifd = work.picture.file.directory(work.layers[0])
    limits = Limits(tag_bytes=_GEO_BYTES)
    found: dict[int, tuple[int, tuple[int | float, ...] | bytes]] = {}
    for number in _GEO_TAGS:
        tag = ifd.tags.get(number)
        if tag is None or tag.size > _GEO_BYTES:
            continue
        is_text = tag.kind == _ASCII
        raw = raw_values(peek, tag, limits) if is_text else tag_values(peek, head, tag, limits)
        found[number] = (tag.kind, raw)
    return found


def _write_cog(work: _Work, params: ConvertParams, sink: Sink, context: Context) -> None:
    look = work.look
    pages = _cog_pages(work, params)
    kind = np.dtype(look.dtype)
    is_picked = (
        look.colour == "palette"
        or _NODATA in pages[0].more
        or kind.kind == "c"
        or (kind.kind in "iu" and kind.itemsize > 4)  # noqa: PLR2004 - doubles hold no more
        or look.bits == 1
    )
    with _writer(pages, params, context) as writer:
        halvings = [Halving(params.tile, is_picked=is_picked) for _ in pages[1:]]

        def add(level: int, rows: Pixels) -> None:
            writer.add(level, rows)
            if level < len(halvings):
                for more in halvings[level].take(rows):
                    add(level + 1, more)

        for _, rows in _rows(work, params.tile, context):
            with context.phase("encode"):
                add(0, rows)
        for level, halving in enumerate(halvings):
            for more in halving.rest():
                add(level + 1, more)
        writer.finish(sink, smallest_first=True)


def _write_png(work: _Work, params: ConvertParams, sink: Sink, context: Context) -> None:
    pixels = np.concatenate([rows for _, rows in _rows(work, params.tile, context)])
    pixels = pixels[:, :, 0] if work.look.samples == 1 else pixels
    with context.phase("encode"):
        for piece in png(pixels):
            sink.write(piece)


def _ome_pages(work: _Work) -> list[Page]:
    look = work.look
    image = _image(work, look.width, look.height)
    about: TagValues = {270: text_tag(_ome_xml(work))}
    return [Page(image, more=about if number == 0 else {}) for number in range(len(work.layers))]


def _writer(pages: list[Page], params: ConvertParams, context: Context) -> TiledWriter:
    limit = context.limits.output_bytes
    return TiledWriter(pages, tile=params.tile, compression=params.compression, limit=limit)


def _ome_xml(work: _Work) -> str:
    look = work.look
    sizes = {"X": look.width, "Y": look.height, "Z": len(work.layers), "C": look.samples, "T": 1}
    told = " ".join(f'Size{axis}="{size}"' for axis, size in sizes.items())
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{schema}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:schemaLocation="{schema} {schema}/ome.xsd"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type={quoteattr(_OME_TYPES[look.dtype])}'
        f' BigEndian="false" {told}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="{look.samples}"/>'
        "<TiffData/></Pixels></Image></OME>"
    )


def _write_ome(work: _Work, params: ConvertParams, sink: Sink, context: Context) -> None:
    pages = _ome_pages(work)
    with _writer(pages, params, context) as writer:
        for number, rows in _rows(work, params.tile, context):
            with context.phase("encode"):
                writer.add(number, rows)
        writer.finish(sink, smallest_first=False)
