"""What is written as COG, OME-TIFF or tiled copy is what other programs read."""

import io
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio  # type: ignore[import-untyped]
import tifffile

from processors.base import Limits
from processors.errors import TooLarge, UnsupportedFormat
from processors.testing import (
    BufferSink,
    BytesSource,
    CountingSource,
    FileSource,
    MemoryMemo,
    PlainContext,
)
from processors.tiff.file import TiffFile
from processors.tiff.pyramid import write_cog, write_ome
from processors.tiff.tiles import Codec, Raster
from processors.tiff.write import Image
from processors.values import Grid
from tests.processors.tiff.corpus import picture


def rows(pixels: np.ndarray, y0: int, y1: int) -> np.ndarray:
    return pixels[y0:y1]


def raster(pixels: np.ndarray, photometric: int = 1) -> Raster:
    high, wide, samples = pixels.shape
    form = Image(wide, high, samples, str(pixels.dtype), photometric)
    return Raster(form, partial(rows, pixels))


def cog(pixels: np.ndarray, **options: Any) -> bytes:
    with BufferSink() as sink:
        write_cog(sink, raster(pixels), PlainContext(), **options)
        return sink.data


@pytest.mark.parametrize("codec", ["none", "deflate", "zstd"])
@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int16", "uint16", "uint32", "int64", "uint64", "float32", "float64"],
)
def test_a_cog_is_read_by_gdal_with_its_overviews(tmp_path: Path, dtype: str, codec: Codec) -> None:
    pixels = picture(3 if dtype == "uint8" else 1, dtype)
    path = tmp_path / "cog.tif"
    path.write_bytes(cog(pixels, codec=codec, tile=64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1), pixels)
            assert file.overviews(1) == [2, 4, 8]
            assert file.block_shapes[0] == (64, 64)
        with rasterio.open(path, overview_level=0) as file:
            level = np.moveaxis(file.read(), 0, -1)
    assert level.shape[:2] == (115, 155)
    exact = pixels[:230, :310].astype(object).reshape(115, 2, 155, 2, -1).sum(axis=(1, 3)) / 4
    step = np.abs(level.astype(np.float64) - exact.astype(np.float64)).max()
    assert step <= (0.5 if np.dtype(dtype).kind != "f" else 1e-4)


def test_a_cog_has_its_directories_first_and_its_smallest_level_next() -> None:
    data = cog(picture(1, "uint16"), tile=64)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
        assert [page.is_reduced for page in pages] == [False, True, True, True]
        directories = [page.offset for page in pages]
        assert directories == sorted(directories)
        first = [min(page.dataoffsets) for page in pages]
        assert first == sorted(first, reverse=True)
        assert max(directories) < min(first)


def test_equal_pixels_give_an_equal_cog() -> None:
    assert cog(picture(1, "uint16"), tile=64) == cog(picture(1, "uint16"), tile=64)


def test_an_ome_tiff_is_read_as_a_stack_with_levels() -> None:
    stack = [picture(1, "uint16", layer) for layer in range(3)]
    with BufferSink() as sink:
        write_ome(sink, [raster(pixels) for pixels in stack], PlainContext(), tile=64)
        data = sink.data
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.is_ome
        series = file.series[0]
        assert series.axes == "ZYX"
        assert len(series.levels) == 4
        np.testing.assert_array_equal(series.asarray(), np.stack(stack)[..., 0])
        assert series.levels[1].shape == (3, 115, 155)
        assert file.ome_metadata is not None
        ET.fromstring(file.ome_metadata)
    ours = TiffFile.open(BytesSource(data), PlainContext())
    assert (ours.layers, ours.levels(2)) == (3, 4)
    np.testing.assert_array_equal(ours.read(2, 0, Grid(0, 310, 0, 230)), stack[2][..., 0])


def test_layers_that_differ_are_no_ome_tiff() -> None:
    different = [raster(picture()), raster(picture(3))]
    with BufferSink() as sink, pytest.raises(UnsupportedFormat):
        write_ome(sink, different, PlainContext())


def test_a_pyramid_keeps_to_the_limits() -> None:
    for limits in (Limits(pixels=100), Limits(output_bytes=5000), Limits(memory_bytes=1000)):
        with BufferSink() as sink, pytest.raises(TooLarge):
            write_cog(sink, raster(picture()), PlainContext(limits=limits))
        with BufferSink() as sink, pytest.raises(TooLarge):
            write_ome(sink, [raster(picture())], PlainContext(limits=limits))


@pytest.fixture
def giant(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Return a file of one compressed strip, and its pixels."""
    pixels = np.random.default_rng(1).integers(0, 4000, (2000, 1500), np.uint16)
    path = tmp_path / "giant.tif"
    tifffile.imwrite(path, pixels, rowsperstrip=2000, compression="zlib", predictor=2)
    return path, pixels


def test_the_second_window_of_a_giant_strip_reads_a_copy(giant: tuple[Path, np.ndarray]) -> None:
    path, pixels = giant
    memo = MemoryMemo()
    grid = Grid(100, 400, 1200, 1300)
    with FileSource(path) as source:
        told = TiffFile.open(source, PlainContext(memo=memo)).info()
        assert told["random_access"] == (
            "the first window decodes giant strips and leaves a copy in tiles for the others"
        )
        first = TiffFile.open(source, PlainContext(memo=memo)).read(0, 0, grid)
        far = CountingSource(source)
        again = TiffFile.open(far, PlainContext(memo=memo)).read(0, 0, grid)
        thin = TiffFile.open(far, PlainContext(memo=memo)).read(0, 0, grid, stride=3)
        told = TiffFile.open(source, PlainContext(memo=memo)).info()
        assert told["random_access"] == "by tiles of a copy, for its strips are giant"
        size = os.fstat(source.fileno() or 0).st_size
    np.testing.assert_array_equal(first, pixels[1200:1300, 100:400])
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(thin, first[::3, ::3])
    assert far.bytes < size / 100


def test_a_damaged_copy_is_made_again(giant: tuple[Path, np.ndarray]) -> None:
    path, pixels = giant
    memo = MemoryMemo()
    grid = Grid(100, 400, 1200, 1300)
    with FileSource(path) as source:
        TiffFile.open(source, PlainContext(memo=memo)).read(0, 0, grid)
        copies = [key for key in memo.entries if key[0].startswith("tiff.tiles")]
        assert copies
        for key in copies:
            memo.entries[key] = memo.entries[key][:1000]
        again = TiffFile.open(source, PlainContext(memo=memo)).read(0, 0, grid)
    np.testing.assert_array_equal(again, pixels[1200:1300, 100:400])
