"""Windows equal, pixel by pixel, what independent readers give: GDAL, and tifffile for the rest."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio  # type: ignore[import-untyped]
import tifffile
from PIL import Image
from rasterio.windows import Window  # type: ignore[import-untyped]

from processors.base import Source
from processors.testing import BytesSource, CountingSource, FileSource, PlainContext
from processors.tiff.file import TiffFile
from processors.values import Grid
from tests.processors.tiff.corpus import CASES

WINDOWS = 500
# GDAL sees no SubIFDs and no half floats as such, has no JPEG 2000 here, and turns CMYK into RGB.
BY_TIFFFILE = {
    "tifffile-pyramid",
    "vips-subifd",
    "tifffile-half",
    "tifffile-jpeg2000",
    "gdal-jpeg-cmyk",
}


# Where colour has half the resolution, two versions of libjpeg differ in how they smooth it. What
# GDAL was built with differs from what Pillow has, which we equal.
SMOOTHED = {"gdal-jpeg-ycbcr", "gdal-overviews-rgb"}


def by_gdal(path: Path, layer: int, level: int, pages: int, grid: Grid) -> np.ndarray:
    """Return what GDAL reads: (rows, columns, samples)."""
    name = f"GTIFF_DIR:{layer + 1}:{path}" if pages > 1 else str(path)
    options = {"overview_level": level - 1} if level else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(name, **options) as file:
            read = file.read(window=Window(grid.x0, grid.y0, grid.width, grid.height))
    return np.moveaxis(read, 0, -1)


def by_tifffile(path: Path, layer: int, level: int, grid: Grid) -> np.ndarray:
    """Return what tifffile reads: (rows, columns, samples)."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[layer]
        if level:
            assert isinstance(page, tifffile.TiffPage)
            assert page.pages is not None
            page = page.pages[level - 1]
        whole = page.asarray()
    whole = whole if whole.ndim == 3 else whole[..., None]
    return whole[grid.y0 : grid.y1, grid.x0 : grid.x1]


def compare(name: str, path: Path, rng: random.Random, source: Source) -> None:
    """Compare one random window."""
    file = TiffFile.open(source, PlainContext())
    layer = rng.randrange(file.layers)
    level = rng.randrange(file.levels(layer))
    form = file.geometry(layer, level)
    x0, y0 = rng.randrange(form.width), rng.randrange(form.height)
    x1, y1 = rng.randint(x0 + 1, form.width), rng.randint(y0 + 1, form.height)
    grid = Grid(x0, x1, y0, y1)
    read = file.read(layer, level, grid)
    if name in BY_TIFFFILE:
        wanted = by_tifffile(path, layer, level, grid)
    else:
        wanted = by_gdal(path, layer, level, file.layers, grid)
    read = read if read.ndim == 3 else read[..., None]
    assert read.shape == wanted.shape
    assert read.dtype == wanted.dtype, name
    where = f"{name} {layer=} {level=} {grid=}"
    if name in SMOOTHED:
        np.testing.assert_allclose(read.astype(int), wanted, atol=8, err_msg=where)
    else:
        np.testing.assert_array_equal(read, wanted, err_msg=where)


def test_the_corpus_has_no_holes(corpus: dict[str, Path]) -> None:
    """What GDAL and tifffile write is always there; the other programs may be missing."""
    assert len([name for name in CASES if name.startswith(("gdal", "tifffile"))]) > 60
    assert {name for name in CASES if name.startswith(("gdal", "tifffile"))} <= set(corpus)


@pytest.mark.parametrize("name", CASES)
def test_each_file_of_the_corpus_reads_like_elsewhere(corpus: dict[str, Path], name: str) -> None:
    if name not in corpus:
        pytest.skip("the program that writes it is not here")
    rng = random.Random(name)
    for _ in range(3):
        with FileSource(corpus[name]) as source:
            compare(name, corpus[name], rng, source)


def test_500_random_windows_read_like_elsewhere(corpus: dict[str, Path]) -> None:
    rng = random.Random(12)
    names = sorted(corpus)
    for number in range(WINDOWS):
        name = rng.choice(names)
        path = corpus[name]
        if number % 2:
            with FileSource(path) as near:
                compare(name, path, rng, near)
        else:
            compare(name, path, rng, CountingSource(BytesSource(path.read_bytes())))


def test_jpeg_with_colour_of_half_resolution_reads_like_pillow(corpus: dict[str, Path]) -> None:
    for name in SMOOTHED:
        with FileSource(corpus[name]) as source:
            file = TiffFile.open(source, PlainContext())
            form = file.geometry(0)
            read = file.read(0, 0, Grid(0, form.width, 0, form.height))
        with Image.open(corpus[name]) as image:
            np.testing.assert_array_equal(read, np.array(image))


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("gdal-overviews", 3),
        ("gdal-overviews-rgb", 3),
        ("gdal-cog", 3),
        ("tifffile-pyramid", 3),
        ("vips-pyramid", 4),
        ("vips-subifd", 4),
    ],
)
def test_the_levels_of_a_pyramid_are_found(corpus: dict[str, Path], name: str, levels: int) -> None:
    if name not in corpus:
        pytest.skip("the program that writes it is not here")
    with FileSource(corpus[name]) as source:
        file = TiffFile.open(source, PlainContext())
        assert file.levels(0) == levels
        full = file.geometry(0)
        for level in range(levels):
            form = file.geometry(0, level)
            assert abs(form.width - full.width / 2**level) <= 1
            assert file.level_for(0, 2**level) == level
            assert file.level_for(0, 2**level * 1.5) == level
        assert file.level_for(0, 1000) == levels - 1
        assert file.level_for(0, 1.2) == 0
