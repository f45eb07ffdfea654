"""A TIFF as a picture."""

from processors.base import Context, Source
from processors.image.picture import Look, Picture, Pixels
from processors.tiff.codecs import is_plain
from processors.tiff.file import TiffFile
from processors.tiff.geometry import Geometry
from processors.values import Grid

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_COLOURS = {"rgb": 3, "black-is-zero": 1, "white-is-zero": 1, "palette": 1}
# Rows of an uncompressed strip are read without the rest of it.
_STRIP_ROWS = 64


class TiffPicture(Picture):
    """Reads the layers of a TIFF."""

    def __init__(self, source: Source, context: Context) -> None:
        self.file = TiffFile.open(source, context)

    @property
    def layers(self) -> int:  # noqa: D102
        return self.file.layers

    def levels(self, layer: int) -> int:  # noqa: D102
        return self.file.levels(layer)

    def look(self, layer: int, level: int = 0) -> Look:  # noqa: D102
        found = self.file.geometry(layer, level)
        high = found.tile_height
        if is_plain(found) and not found.is_tiled:
            high = min(high, _STRIP_ROWS)
        return Look(
            width=found.width,
            height=found.height,
            samples=found.samples,
            dtype=found.dtype,
            bits=found.bits,
            colour=_colour(found),
            tile_width=found.tile_width,
            tile_height=high,
            has_alpha=_has_alpha(found),
            colour_map=found.colour_map,
        )

    def read(self, layer: int, level: int, grid: Grid) -> Pixels:  # noqa: D102
        found = self.file.read(layer, level, grid)
        return found.reshape(grid.height, grid.width, -1)


def _colour(form: Geometry) -> str:
    # The decoders give YCbCr as RGB.
    return "rgb" if form.colour == "ycbcr" else form.colour


def _has_alpha(form: Geometry) -> bool:
    """Tell whether the sample behind the colours is opacity, by its tag."""
    colours = _COLOURS.get(_colour(form), form.samples)
    return form.samples == colours + 1 and form.extra_samples[:1] in {(1,), (2,)}
