"""Preview: a whole layer as a small image for the eye."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from processors.base import MIB, Context, Output, Params, Plan, Processor, Sink, Source
from processors.errors import TooLarge
from processors.image.encoding import FORMATS, MEDIA_TYPES, encoded
from processors.image.light import Light, Tones
from processors.image.opening import open_picture
from processors.image.picture import Look, Picture, afford, bounded, one_band
from processors.image.reduction import reduced
from processors.values import Grid, Size


class PreviewParams(Params, frozen=True, kw_only=True):
    """What a preview takes."""

    layer: int = 0
    """Which layer, counted from zero; of an animation the frame."""

    size: int = 512
    """The longer side in pixels. A layer that is smaller is never made larger."""

    band: int | None = None
    """Shows this sample of a pixel alone, in grey. Without it three samples are colours where the
    file says so, and else the first is shown."""

    tones: Tones = "auto"
    """Which values become black and white. `full`: the ends of the type's range (0 and 1 of
    floats); `minmax`: the least and the greatest value; `percentiles`: those of `low` and `high`;
    `auto`: `full` up to eight bits, else `percentiles`. All are taken of the preview's own pixels,
    of all colours together."""

    low: float = 1.0
    """The percentile that becomes black."""

    high: float = 99.0
    """The percentile that becomes white."""

    quality: int = 85
    """Of jpg and webp, 1 to 100."""

    def __post_init__(self) -> None:
        bounded("size", self.size, 1, 1 << 20)
        bounded("low", self.low, 0, 100)
        bounded("high", self.high, self.low, 100)
        bounded("quality", self.quality, 1, 100)


class Preview(Processor):
    """Makes a small image of a whole layer, in its proportions.

    It averages areas of the smallest level that is large enough, so of a pyramid it reads little.
    Sources are TIFF, PNG, JPEG, WebP and GIF; a JPEG is turned upright as its camera says.
    """

    name = "preview"
    pattern = "{source:path}/{size:int}"
    params: ClassVar[type[Params]] = PreviewParams
    formats = FORMATS

    def plan(self, source: Source, params: PreviewParams, context: Context) -> Plan:  # noqa: D102
        picture, look, size = _opened(source, params, context)
        level = picture.level_for(params.layer, size.width, size.height)
        seen = picture.look(params.layer, level)
        touched = afford(seen, seen.grid, context)
        light = Light(look, params.band)
        return Plan(
            outputs=(Output(media_type=MEDIA_TYPES[params.format]),),
            bytes_wanted=min(source.size, touched),
            decoded_bytes=touched,
            memory_bytes=64 * MIB + 32 * size.width * size.height * light.channels,
            pixels=size.width * size.height,
        )

    def run(self, source: Source, params: PreviewParams, sink: Sink, context: Context) -> None:  # noqa: D102
        picture, look, size = _opened(source, params, context)
        light = Light(look, params.band)
        seen = overview(picture, params.layer, light, size, context)
        pixels = light.after(seen, light.tones(seen, params.tones, (params.low, params.high)))
        with context.phase("encode"):
            turn = picture.turn(params.layer)
            sink.write(encoded(pixels, params.format, quality=params.quality, turn=turn))

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return facts(open_picture(source, context)) | {"largest_size": context.limits.side}

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        return choices(name, source, context)


def overview(
    picture: Picture, layer: int, light: Light, size: Size, context: Context
) -> NDArray[np.float64]:
    """Return a whole layer at `size`, as light, from the smallest level that has as much."""
    level = picture.level_for(layer, size.width, size.height)
    seen = picture.look(layer, level)
    afford(seen, seen.grid, context)
    whole = Grid(0, size.width, 0, size.height)
    return reduced(picture, layer, level, light, size=size, grid=whole, context=context)


def within(look: Look, side: int) -> Size:
    """Return the size of a layer whose longer side is at most `side`."""
    longer = max(look.width, look.height)
    if longer <= side:
        return Size(look.width, look.height)
    return Size(
        max(1, (2 * look.width * side + longer) // (2 * longer)),
        max(1, (2 * look.height * side + longer) // (2 * longer)),
    )


def facts(picture: Picture) -> dict[str, object]:
    """Return what is worth knowing of a picture."""
    look = picture.look(0)
    sizes = [picture.look(0, level) for level in range(picture.levels(0))]
    return {
        "layers": picture.layers,
        "width": look.width,
        "height": look.height,
        "samples": look.samples,
        "dtype": look.dtype,
        "colour": look.colour,
        "levels": [[size.width, size.height] for size in sizes],
    }


def choices(name: str, source: Source, context: Context) -> Iterable[object] | None:
    """Return the values that `layer` and `band` can have."""
    if name == "layer":
        return range(open_picture(source, context).layers)
    if name == "band":
        return range(open_picture(source, context).look(0).samples)
    return None


def _opened(source: Source, params: PreviewParams, context: Context) -> tuple[Picture, Look, Size]:
    limit = context.limits.side
    if params.size > limit:
        raise TooLarge(
            "a preview is not that large; for whole pixels ask for a window",
            asked=f"size={params.size}",
            limit=f"{limit} pixels",
            example=f"size={limit}",
        )
    picture = open_picture(source, context)
    look = picture.checked(params.layer)
    one_band(look, params.band)
    return picture, look, within(look, params.size)
