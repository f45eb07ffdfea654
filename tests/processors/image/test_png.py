"""PNG files: read back by other programs, and the same bytes each time."""

import io
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from processors.image import png as module
from processors.image.png import png

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHAPES = [(1, 1), (1, 7), (7, 1), (33, 65), (33, 65, 2), (33, 65, 3), (33, 65, 4)]


def made(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    dice = np.random.default_rng(len(shape) + shape[0])
    return dice.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def encoded(pixels: NDArray[Any]) -> bytes:
    return b"".join(png(pixels))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gdal_reads_the_same_pixels(shape: tuple[int, ...], dtype: str) -> None:
    pixels = made(shape, dtype)
    with rasterio.MemoryFile(encoded(pixels), ext=".png") as file, file.open() as found:
        read = found.read()
    expected = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == dtype


@pytest.mark.parametrize("shape", SHAPES)
def test_pillow_reads_the_same_pixels(shape: tuple[int, ...]) -> None:
    pixels = made(shape, "uint8")
    with Image.open(io.BytesIO(encoded(pixels))) as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_bands_and_strange_layouts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = made((50, 40, 3), "uint16")
    straight = encoded(pixels)
    turned = np.asfortranarray(pixels).astype(">u2")
    assert encoded(turned) == straight
    for band_bytes in (1, 1000):
        monkeypatch.setattr(module, "_BAND_BYTES", band_bytes)
        with Image.open(io.BytesIO(encoded(pixels))) as image:
            image.load()  # checks every CRC
        with rasterio.MemoryFile(encoded(pixels), ext=".png") as file, file.open() as found:
            np.testing.assert_array_equal(np.moveaxis(found.read(), 0, 2), pixels)


def test_elsewhere_another_library_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "isal_zlib", None)
    pixels = made((33, 65, 3), "uint16")
    with rasterio.MemoryFile(encoded(pixels), ext=".png") as file, file.open() as found:
        np.testing.assert_array_equal(np.moveaxis(found.read(), 0, 2), pixels)
