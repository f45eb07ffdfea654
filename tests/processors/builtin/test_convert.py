"""Conversions hold every pixel, and are what GDAL, tifffile and Pillow take them for."""

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from processors.base import Limits
from processors.builtin.convert import Convert, ConvertParams
from processors.errors import OutOfRange, TooLarge, UnsupportedFormat
from processors.image.halving import Halving
from processors.testing import BytesSource, PlainContext, result
from processors.values import Layers
from tests.processors.processes import same_words

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RNG = np.random.default_rng(11)


def convert(data: bytes, context: PlainContext | None = None, **values: Any) -> bytes:
    params = msgspec.convert({"format": "tif", **values}, ConvertParams)
    return result(Convert(), BytesSource(data), params, context)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def offsets(data: bytes) -> list[tuple[int, int, int]]:
    """Return width, place of the directory and of the first tile of each page."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [
            (page.imagewidth, page.offset, min(page.dataoffsets))  # type: ignore[union-attr]
            for page in file.pages
        ]


@pytest.mark.parametrize("compression", ["none", "deflate", "zstd"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64", "uint64"])
def test_gdal_reads_every_pixel_of_a_cog(dtype: str, compression: str) -> None:
    pixels = (RNG.random((700, 1100)) * 200).astype(dtype)
    made = convert(tiff(pixels, tile=(128, 128)), compression=compression, tile=256)
    with rasterio.MemoryFile(made) as memory, memory.open() as opened:
        assert (opened.read(1) == pixels).all()
        assert opened.block_shapes == [(256, 256)]
        assert opened.overviews(1) == [2, 4, 8]
        assert opened.compression is None or opened.compression.value.lower() == compression


@pytest.mark.parametrize("shape", [(600, 530, 3), (600, 530, 4)])
def test_colours_stay_colours(shape: tuple[int, ...]) -> None:
    pixels = RNG.integers(0, 256, shape, np.uint8)
    extra = ["unassalpha"] if shape[2] == 4 else None
    made = convert(tiff(pixels, photometric="rgb", extrasamples=extra))
    with Image.open(io.BytesIO(made)) as image:
        assert image.mode == ("RGB" if shape[2] == 3 else "RGBA")
        assert (np.asarray(image) == pixels).all()


def test_directories_come_first_then_the_smallest_level() -> None:
    made = convert(tiff(RNG.integers(0, 256, (1500, 2100), np.uint8)), tile=256)
    pages = offsets(made)
    assert [width for width, _, _ in pages] == [2100, 1050, 525, 263, 132]
    assert sorted(place for _, place, _ in pages) == [place for _, place, _ in pages]
    starts = [start for _, _, start in pages]
    assert starts == sorted(starts, reverse=True)
    assert max(place for _, place, _ in pages) < min(starts)


def test_smaller_levels_are_averages() -> None:
    pixels = RNG.integers(0, 1000, (512, 1024)).astype(np.uint16)
    made = convert(tiff(pixels), tile=256)
    with tifffile.TiffFile(io.BytesIO(made)) as file:
        level = file.pages[1].asarray()
        smaller = file.pages[2].asarray()
    wanted = pixels.reshape(256, 2, 512, 2).mean(axis=(1, 3))
    assert np.abs(level - wanted).max() <= 0.5
    assert np.abs(smaller - level.reshape(128, 2, 256, 2).mean(axis=(1, 3))).max() <= 0.5


def test_a_palette_and_a_fill_value_are_not_averaged(tmp_path: Path) -> None:
    pixels = RNG.choice(np.array([3, 250], np.uint8), (600, 600))
    colours = RNG.integers(0, 65_535, (3, 256)).astype(np.uint16)
    made = convert(tiff(pixels, photometric="palette", colormap=colours), tile=256)
    with tifffile.TiffFile(io.BytesIO(made)) as file:
        assert set(np.unique(file.pages[1].asarray())) == {3, 250}
        assert (file.pages[0].colormap == colours).all()  # type: ignore[union-attr]
    file_ = tmp_path / "a.tif"
    with rasterio.open(
        file_, "w", driver="GTiff", width=600, height=600, count=1, dtype="uint8", nodata=250
    ) as opened:
        opened.write(pixels, 1)
    made = convert(file_.read_bytes(), tile=256)
    with rasterio.MemoryFile(made) as memory, memory.open(overview_level=0) as opened:
        assert set(np.unique(opened.read(1))) == {3, 250}
        assert opened.nodata == 250


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_a_geotiff_stays_where_it_is(tmp_path: Path, order: str) -> None:
    file = tmp_path / "a.tif"
    transform = Affine(30.0, 0.0, 500_010.0, 0.0, -30.0, 4_200_000.0)
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        width=70,
        height=40,
        count=1,
        dtype="float32",
        crs="EPSG:32633",
        transform=transform,
        nodata=-9999.0,
        ENDIANNESS=order,
    ) as opened:
        opened.write(np.full((1, 40, 70), 2.5, np.float32))
    made = convert(file.read_bytes())
    with rasterio.MemoryFile(made) as memory, memory.open() as opened:
        assert opened.crs == "EPSG:32633"
        assert opened.transform == transform
        assert opened.nodata == -9999
        assert (opened.read(1) == 2.5).all()


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_an_ome_tiff_has_a_plane_for_each_layer(compression: str) -> None:
    pixels = RNG.integers(0, 4000, (7, 300, 280), np.uint16)
    made = convert(tiff(pixels), format="ome.tif", compression=compression, tile=256)
    with tifffile.TiffFile(io.BytesIO(made)) as file:
        assert file.is_ome
        assert file.series[0].axes == "ZYX"
        assert (file.asarray() == pixels).all()
        text = file.ome_metadata
    assert text is not None
    assert ET.fromstring(text)[0][0].attrib["SizeZ"] == "7"


def test_colours_are_samples_of_one_channel() -> None:
    pixels = RNG.integers(0, 256, (2, 40, 50, 3), np.uint8)
    made = convert(tiff(pixels, photometric="rgb"), format="ome.tif")
    with tifffile.TiffFile(io.BytesIO(made)) as file:
        assert file.series[0].axes == "ZYXS"
        assert (file.asarray() == pixels).all()


@pytest.mark.parametrize("shape", [(1, 33, 44), (5, 33, 44), (3, 20, 30, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float64", "complex64", "int64"])
def test_npy_is_the_array(shape: tuple[int, ...], dtype: str) -> None:
    pixels = (RNG.random(shape) * 100).astype(dtype)
    kind = "rgb" if len(shape) == 4 else "minisblack"
    found = np.load(io.BytesIO(convert(tiff(pixels, photometric=kind), format="npy")))
    assert found.dtype == pixels.dtype
    assert (found == (pixels[0] if shape[0] == 1 else pixels)).all()


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 2), (40, 50, 3), (40, 50, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_is_exact(shape: tuple[int, ...], dtype: str) -> None:
    pixels = (RNG.random(shape) * np.iinfo(dtype).max).astype(dtype)
    colours = {2: "minisblack", 3: "rgb", 4: "rgb"}.get(shape[-1], "minisblack")
    options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if shape[-1] in {2, 4} else {}
    data = tiff(pixels, photometric=colours, planarconfig="contig", **options)
    made = convert(data, format="png")
    import imagecodecs

    assert (imagecodecs.png_decode(made) == pixels).all()
    if dtype == "uint8":
        with Image.open(io.BytesIO(made)) as image:
            assert (np.asarray(image) == pixels).all()


def test_an_ordinary_image_becomes_a_cog() -> None:
    pixels = RNG.integers(0, 256, (300, 900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    with rasterio.MemoryFile(convert(file.getvalue())) as memory, memory.open() as opened:
        assert (np.moveaxis(opened.read(), 0, 2) == pixels).all()


@pytest.mark.parametrize(
    "options", [{"rowsperstrip": 7}, {"rowsperstrip": 5000}, {"tile": (80, 96)}]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_segments_of_any_height_are_put_together(
    options: dict[str, Any], compression: str | None
) -> None:
    pixels = RNG.integers(0, 65_535, (1301, 333), np.uint16)
    data = tiff(pixels, compression=compression, **options)
    for form in ("tif", "npy"):
        made = convert(data, format=form, tile=256)
        if form == "npy":
            found = np.load(io.BytesIO(made))
        else:
            with tifffile.TiffFile(io.BytesIO(made)) as file:
                found = file.pages[0].asarray()
        assert (found == pixels).all()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_halves_are_those_of_the_whole(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    pixels = RNG.integers(0, 255, (height, width, 1), np.uint8)
    halving = Halving(data.draw(st.sampled_from([4, 16])), is_picked=data.draw(st.booleans()))
    found, at = [], 0
    while at < height:
        step = data.draw(st.integers(1, height - at))
        found += list(halving.take(pixels[at : at + step]))
        at += step
    found += list(halving.rest())
    made = np.concatenate(found)
    padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    if halving._is_picked:
        assert (made == padded[::2, ::2]).all()
    else:
        wanted = padded.reshape(len(padded) // 2, 2, padded.shape[1] // 2, 2).mean(axis=(1, 3))
        assert np.abs(made[:, :, 0] - wanted).max() <= 0.5


def test_floats_are_averaged_without_what_is_no_number() -> None:
    pixels = np.array([[1, np.nan, np.nan], [3, np.nan, np.nan]], np.float32).reshape(2, 3, 1)
    halving = Halving(8, is_picked=False)
    found = np.concatenate([*halving.take(pixels), *halving.rest()])
    assert found[0, 0, 0] == 2
    assert np.isnan(found[0, 1, 0])


def test_what_a_format_cannot_hold_is_refused_with_one_that_can() -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        convert(tiff(np.zeros((4, 4), np.float32)), format="png")
    assert caught.value.example == "format=tif"
    with pytest.raises(UnsupportedFormat):
        convert(tiff(np.zeros((4, 4), np.uint64)), format="ome.tif")
    with pytest.raises(TooLarge) as larger:
        convert(tiff(np.zeros((5, 6, 7), np.uint8)))
    assert larger.value.example == "layers=0"
    with pytest.raises(OutOfRange):
        convert(tiff(np.zeros((5, 6, 7), np.uint8)), layers=Layers.of(5))


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("form", ["tif", "ome.tif", "npy"])
def test_more_bytes_than_allowed_are_refused(form: str, compression: str) -> None:
    data = tiff(RNG.integers(0, 256, (600, 600), np.uint8))
    context = PlainContext(limits=Limits(output_bytes=100_000))
    with pytest.raises(TooLarge):
        convert(data, context, format=form, compression=compression)


SCRIPT = """
import hashlib, sys
from processors.builtin.convert import Convert, ConvertParams
from processors.testing import FileSource, result
for form in ("tif", "ome.tif", "npy", "png"):
    for compression in ("deflate", "zstd", "none"):
        params = ConvertParams(format=form, compression=compression)
        with FileSource(sys.argv[1]) as source:
            print(hashlib.sha256(result(Convert(), source, params)).hexdigest())
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, RNG.integers(0, 256, (900, 800), np.uint8), tile=(64, 64))
    assert len(set(same_words(SCRIPT, file, root))) == 8
