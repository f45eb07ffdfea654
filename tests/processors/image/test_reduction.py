"""Averages of areas are those of a matrix product, however the blocks lie."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from processors.image.light import Light
from processors.image.picture import Look, Picture, Pixels
from processors.image.reduction import reduced
from processors.testing import PlainContext
from processors.values import Grid, Size


class Array(Picture):
    """An array as a picture of one layer with one level, in tiles of a given size."""

    def __init__(self, pixels: NDArray[np.generic], tile: tuple[int, int]) -> None:
        self.pixels = pixels
        self.tile = tile
        self.read_pixels = 0

    @property
    def layers(self) -> int:
        return 1

    def levels(self, layer: int) -> int:
        return 1

    def look(self, layer: int, level: int = 0) -> Look:
        height, width, samples = self.pixels.shape
        return Look(
            width=width,
            height=height,
            samples=samples,
            dtype=self.pixels.dtype.name,
            bits=self.pixels.dtype.itemsize * 8,
            colour="rgb" if samples == 3 else "black-is-zero",
            tile_width=self.tile[0],
            tile_height=self.tile[1],
        )

    def read(self, layer: int, level: int, grid: Grid) -> Pixels:
        self.read_pixels += grid.width * grid.height
        return self.pixels[grid.y0 : grid.y1, grid.x0 : grid.x1]


class Small(Look, frozen=True, kw_only=True):
    """A look whose blocks are single tiles."""

    def blocks(self, grid: Grid) -> Iterator[Grid]:
        around = self.around(grid)
        for y in range(around.y0, around.y1, self.tile_height):
            for x in range(around.x0, around.x1, self.tile_width):
                right, low = x + self.tile_width, y + self.tile_height
                yield Grid(max(x, grid.x0), min(right, grid.x1), max(y, grid.y0), min(low, grid.y1))


class Tiled(Array):
    """The same with blocks of one tile."""

    def look(self, layer: int, level: int = 0) -> Look:
        look = super().look(layer, level)
        return Small(**{name: getattr(look, name) for name in look.__struct_fields__})


def shares(whole: int, size: int) -> NDArray[np.float64]:
    """Return which share each old pixel has in each new one, by the overlap of both."""
    edges = np.arange(size + 1) * whole / size
    left, right = np.arange(whole), np.arange(1, whole + 1)
    overlap = np.minimum(edges[1:, None], right) - np.maximum(edges[:-1, None], left)
    found: NDArray[np.float64] = np.clip(overlap, 0, None) / (whole / size)
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tiled, Size, Grid]:
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    samples = draw(st.sampled_from([1, 3]))
    dtype = draw(st.sampled_from(["uint8", "int16", "float32", "uint32"]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    pixels = rng.integers(0, 256, (height, width, samples)).astype(dtype)
    tile = draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    size = Size(draw(st.integers(1, width)), draw(st.integers(1, height)))
    x0, y0 = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    x1, y1 = draw(st.integers(x0 + 1, size.width)), draw(st.integers(y0 + 1, size.height))
    return Tiled(pixels, tile), size, Grid(x0, x1, y0, y1)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_each_value_is_the_mean_of_its_area(case: tuple[Tiled, Size, Grid]) -> None:
    picture, size, grid = case
    light = Light(picture.look(0), None)
    found = reduced(picture, 0, 0, light, size=size, grid=grid, context=PlainContext())
    height, width, _ = picture.pixels.shape
    down, across = shares(height, size.height), shares(width, size.width)
    whole = np.einsum("yr,rcs,xc->yxs", down, picture.pixels.astype(float), across)
    np.testing.assert_allclose(
        found, whole[grid.y0 : grid.y1, grid.x0 : grid.x1], rtol=1e-9, atol=1e-6
    )


@settings(max_examples=100, deadline=None)
@given(cases(), st.floats(0, 1))
def test_what_is_no_number_does_not_count(case: tuple[Tiled, Size, Grid], part: float) -> None:
    picture, size, grid = case
    rng = np.random.default_rng(1)
    pixels = picture.pixels.astype(np.float32)
    holes = rng.random(pixels.shape) < part
    pixels[holes] = rng.choice([np.nan, np.inf, -np.inf], holes.sum())
    picture.pixels = pixels
    light = Light(picture.look(0), None)
    found = reduced(picture, 0, 0, light, size=size, grid=grid, context=PlainContext())
    height, width, _ = pixels.shape
    down, across = shares(height, size.height), shares(width, size.width)
    sums = np.einsum("yr,rcs,xc->yxs", down, np.where(holes, 0, pixels).astype(float), across)
    counts = np.einsum("yr,rcs,xc->yxs", down, (~holes).astype(float), across)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.where(counts > 1e-9, sums / counts, np.nan)
    np.testing.assert_allclose(
        found, whole[grid.y0 : grid.y1, grid.x0 : grid.x1], rtol=1e-6, atol=1e-4
    )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_level_that_is_a_pixel_short_gives_its_nearest(data: st.DataObject) -> None:
    """Programs round the sizes of levels down or up, so a level may be one less than wanted."""
    whole = data.draw(st.integers(1, 40))
    size = whole + data.draw(st.integers(0, 1))
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    pixels = np.arange(whole, dtype=np.uint8).reshape(1, whole, 1)
    picture = Tiled(pixels, (data.draw(st.integers(1, 9)), 1))
    light = Light(picture.look(0), None)
    grid = Grid(start, stop, 0, 1)
    found = reduced(picture, 0, 0, light, size=Size(size, 1), grid=grid, context=PlainContext())
    assert found.ravel().tolist() == [at * whole // size for at in range(start, stop)]


def test_it_is_what_pillow_makes_of_it() -> None:
    pixels = np.random.default_rng(3).random((300, 411, 1)).astype(np.float32)
    picture = Array(pixels, (64, 64))
    size = Size(100, 77)
    light = Light(picture.look(0), None)
    found = reduced(
        picture, 0, 0, light, size=size, grid=Grid(0, 100, 0, 77), context=PlainContext()
    )
    image = Image.fromarray(pixels[:, :, 0]).resize((100, 77), Image.Resampling.BOX)
    # Pillow's box takes whole pixels or none: the mean agrees, single values nearly.
    assert abs(found.mean() - np.asarray(image).mean()) < 1e-3
    assert np.corrcoef(found.ravel(), np.asarray(image).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("tile", [(16, 16), (411, 3), (500, 500), (7, 300)])
def test_nothing_is_read_twice(tile: tuple[int, int]) -> None:
    picture = Tiled(np.ones((300, 411, 1), np.uint8), tile)
    light = Light(picture.look(0), None)
    found = reduced(
        picture, 0, 0, light, size=Size(10, 9), grid=Grid(0, 10, 0, 9), context=PlainContext()
    )
    assert picture.read_pixels == 300 * 411
    np.testing.assert_allclose(found, 1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_blocks_cover_a_window_once(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 5000)), data.draw(st.integers(1, 5000))
    look = Look(
        width=width,
        height=height,
        samples=data.draw(st.sampled_from([1, 4, 100])),
        dtype="float64",
        bits=64,
        colour="",
        tile_width=data.draw(st.integers(50, 3000)),
        tile_height=data.draw(st.integers(50, 3000)),
    )
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    grid = Grid(
        x0, data.draw(st.integers(x0 + 1, width)), y0, data.draw(st.integers(y0 + 1, height))
    )
    covered = np.zeros((height, width), np.uint8)
    for part in look.blocks(grid):
        assert part.width > 0
        assert part.height > 0
        covered[part.y0 : part.y1, part.x0 : part.x1] += 1
        tiles = look.around(part)
        one = look.tile_width * look.tile_height * look.pixel_bytes
        assert tiles.width * tiles.height * look.pixel_bytes <= max(16 << 20, one)
        for at, step, start in ((part.x0, look.tile_width, x0), (part.y0, look.tile_height, y0)):
            assert at == start or at % step == 0
    inside = covered[grid.y0 : grid.y1, grid.x0 : grid.x1]
    assert inside.min() == inside.max() == 1
    assert covered.sum() == grid.width * grid.height
