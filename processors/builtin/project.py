"""Project: many layers become one, pixel by pixel."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np

from processors.base import MIB, Context, Output, Params, Plan, Processor, Sink, Source
from processors.builtin.preview import facts
from processors.errors import OutOfRange, TooLarge, UnsupportedFormat
from processors.image.npy import npy_head
from processors.image.opening import open_picture
from processors.image.picture import Look, Picture, Pixels, afford, window
from processors.tiff.write import Image, little, tiff_size, write_tiff
from processors.values import Grid, Layers

Operation = Literal["max", "min", "mean", "sum"]

_BAND_BYTES = 32 * MIB
_MEDIA_TYPES = {"tif": "image/tiff", "npy": "application/x-npy"}
_SHORT_BYTES, _LONG_BYTES = 2, 8


class ProjectParams(Params, frozen=True, kw_only=True):
    """What a projection takes."""

    op: Operation
    """`max` and `min` keep the type. `sum` is in 64 bits: whole numbers of the same sign, or
    doubles; whole numbers of 64 bits are added as doubles. `mean` is in doubles, and is stored as
    float32 where the type has up to 16 bits or is float32. A pixel that is no number in one layer
    is none in the result."""

    layers: Layers | None = None
    """Which layers, counted from zero, all without it. Each counts once for each time it is
    named."""

    grid: Grid | None = None
    """The window, all of the layers without it."""


class _Work(NamedTuple):
    """What is read, and what becomes of it."""

    picture: Picture
    layers: Layers
    look: Look
    grid: Grid
    sums: np.dtype[np.generic]
    """What is counted in."""
    made: np.dtype[np.generic]
    """What is written."""

    @property
    def image(self) -> Image:
        """The page that is written."""
        rgb = self.look.colour == "rgb"
        return Image(
            self.grid.width,
            self.grid.height,
            self.look.samples,
            self.made.name,
            photometric=2 if rgb else 1,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that is written."""
        flat = (self.grid.height, self.grid.width)
        return flat if self.look.samples == 1 else (*flat, self.look.samples)


class Project(Processor):
    """Computes the greatest, least, mean or sum of each pixel over layers of equal form.

    It reads layer by layer, and holds one band of rows of one layer and of the result.
    """

    name = "project"
    pattern = "{source:path}/{op:id}"
    params = ProjectParams
    formats = ("tif", "npy")

    def plan(self, source: Source, params: ProjectParams, context: Context) -> Plan:  # noqa: D102
        work = _work(source, params, context)
        touched = afford(work.look, work.grid, context, times=len(work.layers))
        size = _size(work, params.format)
        limits = context.limits
        if size > limits.output_bytes:
            raise TooLarge(
                "the result is too large",
                asked=f"{size} bytes",
                limit=f"{limits.output_bytes} bytes",
            )
        return Plan(
            outputs=(Output(media_type=_MEDIA_TYPES[params.format], size=size),),
            bytes_wanted=min(source.size, touched),
            decoded_bytes=touched,
            memory_bytes=64 * MIB + 3 * _band_rows(work) * _row_bytes(work),
            pixels=work.grid.width * work.grid.height,
        )

    def run(self, source: Source, params: ProjectParams, sink: Sink, context: Context) -> None:  # noqa: D102
        work = _work(source, params, context)
        afford(work.look, work.grid, context, times=len(work.layers))
        bands = _bands(work, params.op, context)
        if params.format == "npy":
            sink.write(npy_head(work.made, work.shape))
            for band in bands:
                sink.write(little(band))
        else:
            write_tiff(sink, [work.image], ((0, band) for band in bands))

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return facts(open_picture(source, context))

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        if name == "layers":
            return range(open_picture(source, context).layers)
        return ("max", "min", "mean", "sum") if name == "op" else None


def _work(source: Source, params: ProjectParams, context: Context) -> _Work:
    picture = open_picture(source, context)
    count = picture.layers
    layers = params.layers or Layers(((0, count),))
    for start, stop in layers.runs:
        if not 0 <= start < stop <= count:
            raise OutOfRange(
                "there are no such layers",
                asked=f"layers {start}-{stop}",
                limit=f"0-{count}",
                example=f"layers=0-{count}",
            )
    if len(layers) > context.limits.segments:
        raise TooLarge(
            "so many layers are not read at once",
            asked=f"{len(layers)} layers",
            limit=f"{context.limits.segments} layers",
        )
    first = next(iter(layers))
    look = picture.look(first)
    for layer in layers:
        other = picture.look(layer)
        if _form(other) != _form(look):
            raise OutOfRange(
                f"layers {first} and {layer} differ in form",
                asked=f"layers {first} to {layer}",
                limit="layers of one size and type",
                example=f"layers={first}",
            )
    grid = window(look, params.grid)
    sums, made = _types(np.dtype(look.dtype), params.op)
    return _Work(picture, layers, look, grid, sums, made)


def _form(look: Look) -> tuple[int, int, int, str]:
    return look.width, look.height, look.samples, look.dtype


def _types(dtype: np.dtype[np.generic], op: Operation) -> tuple[np.dtype[np.generic], ...]:
    """Return in which type is counted, and which is written."""
    if dtype.kind not in "iuf":
        raise UnsupportedFormat("these values have no order", asked=dtype.name)
    if op in {"max", "min"}:
        return dtype, dtype
    double = np.dtype(np.float64)
    is_exact = dtype.kind != "f" and dtype.itemsize < _LONG_BYTES
    sums = np.dtype(np.uint64 if dtype.kind == "u" else np.int64) if is_exact else double
    if op == "sum":
        return sums, sums
    is_short = dtype.itemsize <= _SHORT_BYTES or dtype == np.float32
    return sums, np.dtype(np.float32) if is_short else double


def _row_bytes(work: _Work) -> int:
    widest = max(work.sums.itemsize, work.made.itemsize)
    return work.grid.width * work.look.samples * widest


def _band_rows(work: _Work) -> int:
    """Return how many rows are held: whole segments, so that none is decoded twice."""
    high = work.look.tile_height
    return max(1, _BAND_BYTES // (_row_bytes(work) * high)) * high


def _size(work: _Work, form: str) -> int:
    if form == "npy":
        count = work.grid.width * work.grid.height * work.look.samples
        return len(npy_head(work.made, work.shape)) + count * work.made.itemsize
    return tiff_size([work.image])


def _bands(work: _Work, op: Operation, context: Context) -> Iterator[Pixels]:
    grid, step = work.grid, _band_rows(work)
    whole, done = grid.height * len(work.layers), 0
    y = grid.y0
    while y < grid.y1:
        end = min(grid.y1, (y // step + 1) * step)
        band = Grid(grid.x0, grid.x1, y, end)
        held: Pixels | None = None
        for layer in work.layers:
            pixels = work.picture.read(layer, 0, band)
            held = _joined(held, pixels, op, work.sums)
            done += band.height
            context.progress(done, whole)
        assert held is not None
        yield (held / len(work.layers) if op == "mean" else held).astype(work.made, copy=False)
        y = end


def _joined(
    held: Pixels | None, pixels: Pixels, op: Operation, sums: np.dtype[np.generic]
) -> Pixels:
    if held is None:
        return pixels.astype(sums)
    if op == "max":
        return np.maximum(held, pixels, out=held)
    if op == "min":
        return np.minimum(held, pixels, out=held)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add(held, pixels, out=held, dtype=sums, casting="unsafe")
