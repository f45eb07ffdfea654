"""A page of giant segments is read through a copy in tiles, which gives the same pixels."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from processors.testing import BytesSource, CountingSource, FileSource, MemoryMemo, PlainContext
from processors.tiff import tiled_copy
from processors.tiff.file import TiffFile
from processors.values import Grid
from tests.processors.tiff.corpus import CASES, SIDE


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


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("gdal", "tifffile"))])
def test_every_kind_of_page_survives_its_copy(
    corpus: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = BytesSource(corpus[name].read_bytes())
    grid = Grid(20, SIDE[1] - 5, 11, SIDE[0] - 1)
    memo = MemoryMemo()
    plain = TiffFile.open(source, PlainContext(memo=memo)).read(0, 0, grid)
    form = TiffFile.open(source, PlainContext(memo=memo)).geometry(0)
    assert not any(key[0].startswith("tiff.tiles") for key in memo.entries)
    monkeypatch.setattr(tiled_copy, "_GIANT_BYTES", 0)
    for _ in range(2):
        read = TiffFile.open(source, PlainContext(memo=memo)).read(0, 0, grid)
        assert read.dtype == plain.dtype
        np.testing.assert_array_equal(read, plain)
    copies = [key for key in memo.entries if key[0].startswith("tiff.tiles")]
    assert len(copies) == (0 if form.codec == "none" and form.bits in {8, 16, 32, 64} else 1)
