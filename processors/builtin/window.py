"""Window: the processor `tiff.window`, which cuts windows out of the layers of a TIFF."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple
from weakref import WeakKeyDictionary

import imagecodecs
import numpy as np

from processors.base import Context, Output, Params, Plan, Processor, Sink, Source
from processors.errors import BadValue, OutOfRange, TooLarge, UnsupportedFormat
from processors.image.npy import npy_head
from processors.image.png import png
from processors.tiff.copying import Copy
from processors.tiff.file import TiffFile
from processors.tiff.geometry import Geometry
from processors.tiff.plan import size
from processors.tiff.write import Image, image, little, tiff_size, write_tiff
from processors.values import Grid, Layers

_MEDIA = {
    "tif": "image/tiff",
    "npy": "application/x-npy",
    "raw": "application/octet-stream",
    "png": "image/png",
    "jpg": "image/jpeg",
}
_BAND_BYTES = 32 << 20
_WHITE_IS_ZERO, _PALETTE = 0, 3


class WindowParams(Params, frozen=True):
    """What `tiff.window` takes."""

    layer: Layers = Layers.of(0)
    """One layer, or several: "12", "12+15", "20-30". A tif gets a page for each."""
    grid: Grid | None = None
    """Columns and rows; without it the whole layer. In pixels of the level that is asked for."""
    level: int = 0
    """0 is full resolution, 1 the next smaller one of the pyramid, and so on."""
    stride: int = 1
    """Every which pixel and row is taken, from the first of the grid. Nothing is averaged."""
    codec: Literal["none", "source"] = "none"
    """How a tif is packed: not at all, or as in the source, whose tiles are copied as they are."""

    def __post_init__(self) -> None:
        if self.level < 0:
            raise BadValue(
                "a level is not negative", asked=f"level {self.level}", example="level=0"
            )
        if self.stride < 1:
            raise BadValue("a stride is 1 or more", asked=f"{self.stride}", example="stride=2")
        if self.codec == "source" and (self.format not in {"", "tif"} or self.stride != 1):
            raise BadValue(
                "tiles are copied into a tif without a stride only",
                asked=f"codec=source, {self.format}, stride={self.stride}",
                example="stride=1,format=tif",
            )


class _Part:
    """One layer's window: where it is, and the form of what it gives."""

    def __init__(self, file: TiffFile, layer: int, params: WindowParams) -> None:
        self.layer = layer
        self.form = file.geometry(layer, params.level)
        self.grid = params.grid or Grid(0, self.form.width, 0, self.form.height)
        self.height, self.width = size(self.grid, params.stride)
        self.plan = file.plan(layer, params.level, self.grid, stride=params.stride)

    @property
    def image(self) -> Image:
        """The page that it gives in a tif."""
        return image(self.form, self.width, self.height)


class _Ready(NamedTuple):
    """What was planned of a source, which its run need not plan again."""

    source: Source
    params: WindowParams
    file: TiffFile
    parts: list[_Part]


# For as long as somebody has the context: a plan and its run have one.
_READY: WeakKeyDictionary[Context, _Ready] = WeakKeyDictionary()


class Window(Processor):
    """Cuts a window out of layers of a TIFF, pixel by pixel as they are stored.

    As tif, npy and raw nothing is changed; png and jpg take 8 bits (png also 16) and show colours.
    """

    name: ClassVar[str] = "tiff.window"
    version: ClassVar[int] = 2
    params: ClassVar[type[Params]] = WindowParams
    formats: ClassVar[tuple[str, ...]] = ("tif", "npy", "raw", "png", "jpg")
    pattern: ClassVar[str] = "{source:path}/{layer:layers}/{grid:grid}"

    def plan(self, source: Source, params: WindowParams, context: Context) -> Plan:
        """Return what the window takes and gives."""
        file = TiffFile.open(source, context)
        if params.codec == "source":
            copy = Copy(file, params.layer, params.level, params.grid, context)
            return Plan(
                outputs=(Output(media_type=_MEDIA["tif"], size=copy.size),),
                bytes_wanted=copy.bytes_wanted,
                memory_bytes=copy.memory_bytes,
                pixels=copy.pixels,
            )
        parts = self._parts(file, params, context)
        _READY[context] = _Ready(source, params, file, parts)
        limits = context.limits
        pixels = sum(part.width * part.height for part in parts)
        decoded = sum(part.plan.decoded_bytes for part in parts)
        raw = sum(part.image.size for part in parts)
        _check_format(parts, params.format)
        known = _SIZES.get(params.format)
        told = known(parts) if known else None
        _bound("bytes", told or 0, limits.output_bytes)
        memory = max(_memory(part, params) for part in parts)
        if not known:
            memory += 3 * raw
        _bound("bytes of memory", memory, limits.memory_bytes // 2)
        return Plan(
            outputs=(Output(media_type=_MEDIA[params.format], size=told),),
            bytes_wanted=sum(part.plan.stored_bytes for part in parts),
            decoded_bytes=decoded,
            memory_bytes=memory,
            pixels=pixels,
        )

    def run(self, source: Source, params: WindowParams, sink: Sink, context: Context) -> None:
        """Write the window."""
        if params.codec == "source":
            file = TiffFile.open(source, context)
            Copy(file, params.layer, params.level, params.grid, context).write(sink)
            return
        ready = _READY.pop(context, None)
        if ready is not None and ready.source is source and ready.params == params:
            file, parts = ready.file, ready.parts
        else:
            file = TiffFile.open(source, context)
            parts = self._parts(file, params, context)
        bands = _bands(file, parts, params, context)
        if params.format == "tif":
            write_tiff(sink, [part.image for part in parts], bands)
        elif params.format in {"npy", "raw"}:
            if params.format == "npy":
                sink.write(_npy_head(parts))
            for _, rows in bands:
                sink.write(little(rows))
        else:
            pixels = _shown(np.concatenate([rows for _, rows in bands]), parts[0].form)
            with context.phase("encode"):
                for piece in _ENCODERS[params.format](pixels):
                    sink.write(piece)

    def info(self, source: Source, context: Context) -> Mapping[str, object]:
        """Return sizes, layers, levels and the axes."""
        return TiffFile.open(source, context).info()

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:
        """Return the layers that there are, or the levels of the first."""
        file = TiffFile.open(source, context)
        if name == "layer":
            return range(file.layers)
        return range(file.levels(0)) if name == "level" else None

    def _parts(self, file: TiffFile, params: WindowParams, context: Context) -> list[_Part]:
        """Return the windows of all layers, each planned."""
        if not len(params.layer):
            raise BadValue("no layer is named", example="layer=0")
        _bound("layers", len(params.layer), context.limits.segments)
        # The last one first: a range that ends too far is refused before anything is read for it.
        file.geometry(max(stop for _, stop in params.layer.runs) - 1)
        parts: list[_Part] = []
        pixels = decoded = pieces = 0
        for layer in params.layer:
            context.check()
            part = _Part(file, layer, params)
            parts.append(part)
            pixels += part.width * part.height
            decoded += part.plan.decoded_bytes
            pieces += len(part.plan.segments)
            _bound("pixels", pixels, context.limits.pixels)
            _bound("decoded bytes", decoded, context.limits.touched_bytes)
            _bound("pieces", pieces, context.limits.segments)
        return parts


def _bound(what: str, asked: int, limit: int) -> None:
    if asked > limit:
        raise TooLarge(f"too many {what}", asked=f"{asked} {what}", limit=f"{limit} {what}")


def _check_format(parts: list[_Part], wanted: str) -> None:
    """Refuse what an output format cannot hold, and say which can."""
    first = parts[0].image
    if wanted in {"npy", "raw"}:
        for part in parts:
            mine = part.image
            if mine[:4] != first[:4]:
                raise OutOfRange(
                    f"layers {parts[0].layer} and {part.layer} differ in form, and {wanted} is one "
                    "array",
                    asked=f"{len(parts)} layers as {wanted}",
                    example=f"layer={parts[0].layer}",
                )
    elif wanted in {"png", "jpg"}:
        if len(parts) > 1:
            raise UnsupportedFormat(
                f"a {wanted} holds one layer",
                asked=f"{len(parts)} layers",
                limit="1 layer",
                example=f"layer={parts[0].layer}",
            )
        form = parts[0].form
        samples = 3 if first.colour_map else first.samples
        types = {"uint8", "uint16"} if wanted == "png" else {"uint8"}
        counts = {1, 2, 3, 4} if wanted == "png" else {1, 3}
        is_shown = form.dtype in types or bool(first.colour_map)
        if not is_shown or samples not in counts or first.photometric not in {0, 1, 2, 3}:
            raise UnsupportedFormat(
                f"{samples} samples of {form.dtype} in {form.colour} do not fit a {wanted}",
                limit=f"{sorted(counts)} samples of {' or '.join(sorted(types))}",
                example="format=tif",
            )


def _band_rows(part: _Part, params: WindowParams) -> int:
    """Return how many rows of the window are read at once: some whole rows of segments."""
    row = part.image.row_bytes * part.form.tile_height // params.stride
    return max(1, _BAND_BYTES // max(1, row)) * part.form.tile_height


def _memory(part: _Part, params: WindowParams) -> int:
    """Return what reading one band takes: its pixels, what is read for it, what is decoded."""
    rows = min(_band_rows(part, params), part.grid.height)
    band = part.image.row_bytes * -(-rows // params.stride)
    longest = max((segment.size for segment in part.plan.segments), default=0)
    copies = 1 if part.form.predictor == 1 and part.form.codec in {"lzw", "deflate", "zstd"} else 2
    at_once = 0 if part.plan.is_direct else min(4, len(part.plan.segments)) * copies
    decoded = at_once * part.form.segment_bytes
    return band * 2 + max(2 * longest, 64 << 20) + decoded


def _bands(
    file: TiffFile, parts: list[_Part], params: WindowParams, context: Context
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of all layers, some at a time, so that no segment is decoded twice."""
    whole = sum(part.height for part in parts)
    done = 0
    for number, part in enumerate(parts):
        grid, stride = part.grid, params.stride
        step = _band_rows(part, params)
        start = grid.y0
        while start < grid.y1:
            end = min(grid.y1, (start // step + 1) * step)
            planned = part.plan
            if (start, end) != (grid.y0, grid.y1):
                band = Grid(grid.x0, grid.x1, start, end)
                planned = file.plan(part.layer, params.level, band, stride=stride)
            rows = file.read_plan(planned)
            yield number, rows
            done += len(rows)
            context.progress(done, whole)
            # The next row that is taken, counted from the first of the grid.
            start = grid.y0 + -(-(end - grid.y0) // stride) * stride


def _npy_shape(parts: list[_Part]) -> tuple[int, ...]:
    form = parts[0].image
    shape: tuple[int, ...] = (form.height, form.width)
    if form.samples > 1:
        shape = (*shape, form.samples)
    return (len(parts), *shape) if len(parts) > 1 else shape


def _npy_head(parts: list[_Part]) -> bytes:
    return npy_head(np.dtype(parts[0].image.dtype), _npy_shape(parts))


def _raw_size(parts: list[_Part]) -> int:
    return sum(part.image.size for part in parts)


_SIZES: dict[str, Callable[[list[_Part]], int]] = {
    "tif": lambda parts: tiff_size([part.image for part in parts]),
    "npy": lambda parts: len(_npy_head(parts)) + _raw_size(parts),
    "raw": _raw_size,
}


def _shown(pixels: np.ndarray, form: Geometry) -> np.ndarray:
    """Return the pixels as colours or greys of a screen."""
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if form.photometric == _PALETTE:
        colours = np.frombuffer(form.colour_map, np.uint16).reshape(3, -1)
        table = np.ascontiguousarray((colours >> 8).astype(np.uint8).T)
        shown: np.ndarray = table[np.minimum(pixels, len(table) - 1)]
        return shown
    highest = np.iinfo(pixels.dtype).max
    if form.bits < form.itemsize * 8:
        # The largest stored number is white: 1 of 1 bit, 4095 of 12.
        pixels = (pixels.astype(np.uint64) * highest // ((1 << form.bits) - 1)).astype(pixels.dtype)
    return highest - pixels if form.photometric == _WHITE_IS_ZERO else pixels


def _jpg(pixels: np.ndarray) -> Iterator[bytes]:
    yield bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=90))


_ENCODERS: dict[str, Callable[[np.ndarray], Iterator[bytes]]] = {"png": png, "jpg": _jpg}
