"""Tile: one square of a layer at one zoom, for viewers that show large images piece by piece."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from processors.base import MIB, Context, Output, Params, Plan, Processor, Sink, Source
from processors.builtin.preview import facts, overview, within
from processors.errors import OutOfRange, TooLarge
from processors.image.encoding import FORMATS, MEDIA_TYPES, encoded
from processors.image.light import Light, Span, Tones
from processors.image.opening import open_picture
from processors.image.picture import Look, Picture, afford, bounded, one_band
from processors.image.reduction import Axis, reduced
from processors.values import Grid, Size

SIDE = 256
_OVERVIEW = 512


class TileParams(Params, frozen=True, kw_only=True):
    """What a tile takes."""

    z: int
    """The zoom. 0 is the whole layer in one tile, each further one has twice the pixels a side; the
    last, told by `.info.json`, is full resolution."""

    x: int
    """The column of the tile, from 0 at the left."""

    y: int
    """The row of the tile, from 0 at the top."""

    layer: int = 0
    """Which layer, counted from zero; of an animation the frame."""

    band: int | None = None
    """Shows this sample of a pixel alone, in grey."""

    tones: Tones = "auto"
    """Which values become black and white, as in `preview`, but taken of the whole layer, at 512
    pixels, so that tiles fit together."""

    low: float = 1.0
    """The percentile that becomes black."""

    high: float = 99.0
    """The percentile that becomes white."""

    quality: int = 85
    """Of jpg and webp, 1 to 100."""

    def __post_init__(self) -> None:
        for name, value in (("z", self.z), ("x", self.x), ("y", self.y)):
            bounded(name, value, 0, 1 << 40)
        bounded("low", self.low, 0, 100)
        bounded("high", self.high, self.low, 100)
        bounded("quality", self.quality, 1, 100)


class _Tile(NamedTuple):
    """Where a tile is: in the layer at `size`, the pixels of `grid`."""

    picture: Picture
    level: int
    size: Size
    grid: Grid

    def needed(self, look: Look) -> Grid:
        """Return the pixels of the level that it is made of."""
        across = Axis(look.width, self.size.width, self.grid.x0, self.grid.x1)
        down = Axis(look.height, self.size.height, self.grid.y0, self.grid.y1)
        return Grid(across.first, across.end, down.first, down.end)


class Tile(Processor):
    """Makes one tile of 256 x 256 pixels, counted from the top left as XYZ viewers do.

    At zoom z the layer has its full size divided by 2^(last - z), rounded up. Tiles do not overlap;
    those at the right and lower edge are smaller, as in Deep Zoom, whose level z + 8 it is. They
    are made from the smallest level of a pyramid that is large enough.
    """

    name = "tile"
    pattern = "{source:path}/{z:int}/{x:int}/{y:int}"
    params = TileParams
    formats = FORMATS

    def plan(self, source: Source, params: TileParams, context: Context) -> Plan:  # noqa: D102
        tile = _find(source, params, context)
        seen = tile.picture.look(params.layer, tile.level)
        touched = afford(seen, tile.needed(seen), context)
        light = Light(seen, params.band)
        if _needs_overview(light, params):
            _afford_overview(tile.picture, params.layer, context)
        return Plan(
            outputs=(Output(media_type=MEDIA_TYPES[params.format]),),
            bytes_wanted=min(source.size, touched),
            decoded_bytes=touched,
            memory_bytes=96 * MIB,
            pixels=tile.grid.width * tile.grid.height,
        )

    def run(self, source: Source, params: TileParams, sink: Sink, context: Context) -> None:  # noqa: D102
        tile = _find(source, params, context)
        picture, layer = tile.picture, params.layer
        seen = picture.look(layer, tile.level)
        afford(seen, tile.needed(seen), context)
        light = Light(picture.look(layer), params.band)
        span = _span(source, picture, light, params, context)
        found = reduced(
            picture, layer, tile.level, light, size=tile.size, grid=tile.grid, context=context
        )
        with context.phase("encode"):
            sink.write(encoded(light.after(found, span), params.format, quality=params.quality))

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        picture = open_picture(source, context)
        look = picture.look(0)
        last = _last(look)
        zooms = [_at(look, last - z) for z in range(last + 1)]
        counts = [[-(-size.width // SIDE), -(-size.height // SIDE)] for size in zooms]
        return facts(picture) | {"tile": SIDE, "last_z": last, "tiles": counts}

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        picture = open_picture(source, context)
        if name == "layer":
            return range(picture.layers)
        if name == "band":
            return range(picture.look(0).samples)
        return range(_last(picture.look(0)) + 1) if name == "z" else None


def _last(look: Look) -> int:
    """Return the zoom of full resolution."""
    tiles = -(-max(look.width, look.height) // SIDE)
    return (tiles - 1).bit_length()


def _at(look: Look, halvings: int) -> Size:
    return Size(-(-look.width >> halvings), -(-look.height >> halvings))


def _find(source: Source, params: TileParams, context: Context) -> _Tile:
    picture = open_picture(source, context)
    look = picture.checked(params.layer)
    one_band(look, params.band)
    last = _last(look)
    if params.z > last:
        raise OutOfRange(
            "there is no such zoom",
            asked=f"z={params.z}",
            limit=f"0 to {last}",
            example=f"z={last}",
        )
    size = _at(look, last - params.z)
    for name, at, pixels in (("x", params.x, size.width), ("y", params.y, size.height)):
        count = -(-pixels // SIDE)
        if at >= count:
            raise OutOfRange(
                f"there is no such tile at zoom {params.z}",
                asked=f"{name}={at}",
                limit=f"0 to {count - 1}",
                example=f"{name}={count - 1}",
            )
    left, top = params.x * SIDE, params.y * SIDE
    grid = Grid(left, min(left + SIDE, size.width), top, min(top + SIDE, size.height))
    level = picture.level_for(params.layer, size.width, size.height)
    return _Tile(picture, level, size, grid)


def _needs_overview(light: Light, params: TileParams) -> bool:
    return params.tones != "full" and not (params.tones == "auto" and light.is_byte)


def _afford_overview(picture: Picture, layer: int, context: Context) -> None:
    size = within(picture.look(layer), _OVERVIEW)
    seen = picture.look(layer, picture.level_for(layer, size.width, size.height))
    try:
        afford(seen, seen.grid, context)
    except TooLarge as error:
        raise TooLarge(
            "the tones of the whole layer would take too many pixels",
            asked=error.asked,
            limit=error.limit,
            example="tones=full",
        ) from error


def _span(
    source: Source, picture: Picture, light: Light, params: TileParams, context: Context
) -> Span:
    """Return which values become black and white, remembered for all tiles of a layer."""
    if not _needs_overview(light, params):
        return Span(0.0, light.top)
    shares = (params.low, params.high)
    kind = f"tile.tones/1/{params.layer}/{params.band}/{params.tones}/{shares[0]}/{shares[1]}"
    held = context.memo.get(kind, source)
    if held is not None and len(held) == Span.BYTES:
        return Span.unpacked(held)
    size = within(picture.look(params.layer), _OVERVIEW)
    span = light.tones(overview(picture, params.layer, light, size, context), params.tones, shares)
    context.memo.put(kind, source, span.packed())
    return span
