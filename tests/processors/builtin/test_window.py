"""tiff.window gives files that others read, of exactly the size that was told."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from processors.base import Limits
from processors.builtin.window import Window, WindowParams
from processors.errors import BadValue, OutOfRange, ProcessingError, TooLarge, UnsupportedFormat
from processors.testing import (
    BytesSource,
    CountingSource,
    FileSource,
    MemoryMemo,
    PlainContext,
    result,
)
from processors.values import Grid, Layers


def params(**values: Any) -> WindowParams:
    """Return parameters as a template makes them."""
    return WindowParams(**{"format": "tif", **values})


@pytest.fixture
def stack(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Return a file of 5 layers and its pixels."""
    pixels = np.random.default_rng(3).integers(0, 60000, (5, 200, 300), np.uint16)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib", photometric="minisblack")
    return path, pixels


GRID = Grid(10, 170, 30, 131)


@pytest.mark.parametrize("stride", [1, 2, 7])
def test_each_format_gives_the_same_pixels(stack: tuple[Path, np.ndarray], stride: int) -> None:
    path, pixels = stack
    with FileSource(path) as source:
        made = {
            name: result(
                Window(),
                source,
                params(layer=Layers.of(3), grid=GRID, stride=stride, format=name),
            )
            for name in ("tif", "npy", "raw", "png")
        }
    expected = pixels[3, 30:131:stride, 10:170:stride]
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(made["tif"])), expected)
    np.testing.assert_array_equal(np.load(io.BytesIO(made["npy"])), expected)
    assert made["raw"] == expected.astype("<u2").tobytes()
    np.testing.assert_array_equal(imagecodecs.png_decode(made["png"]), expected)


def test_several_layers_become_pages_and_one_array(stack: tuple[Path, np.ndarray]) -> None:
    path, pixels = stack
    layers = Layers(((4, 5), (0, 2)))
    with FileSource(path) as source:
        tif = result(Window(), source, params(layer=layers, grid=GRID))
        npy = result(Window(), source, params(layer=layers, grid=GRID, format="npy"))
    expected = pixels[[4, 0, 1], 30:131, 10:170]
    with tifffile.TiffFile(io.BytesIO(tif)) as file:
        assert len(file.pages) == 3
        for page, wanted in zip(file.pages, expected, strict=True):
            np.testing.assert_array_equal(page.asarray(), wanted)
    np.testing.assert_array_equal(np.load(io.BytesIO(npy)), expected)


def test_equal_requests_give_equal_bytes_near_and_far(stack: tuple[Path, np.ndarray]) -> None:
    path, _ = stack
    far = CountingSource(BytesSource(path.read_bytes()))
    for name in Window.formats:
        asked = params(layer=Layers.of(1), grid=GRID, format=name)
        if name == "jpg":
            continue  # 16 bits
        with FileSource(path) as source:
            assert result(Window(), source, asked) == result(Window(), far, asked)


def test_bands_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.builtin.window._BAND_BYTES", 4000)
    pixels = np.random.default_rng(3).integers(0, 255, (500, 300, 3), np.uint8)
    for kwargs in ({"tile": (32, 48)}, {"rowsperstrip": 13}):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, pixels, compression="lzw", photometric="rgb", **kwargs)
        with FileSource(path) as source:
            for stride in (1, 3, 50):
                asked = params(grid=Grid(7, 290, 11, 487), stride=stride)
                made = tifffile.imread(io.BytesIO(result(Window(), source, asked)))
                np.testing.assert_array_equal(made, pixels[11:487:stride, 7:290:stride])


def test_a_png_shows_what_a_viewer_would(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tifffile.imwrite(path, grey, photometric="miniswhite")
    with FileSource(path) as source:
        shown = imagecodecs.png_decode(result(Window(), source, params(format="png")))
        jpeg = imagecodecs.jpeg8_decode(result(Window(), source, params(format="jpg")))
    np.testing.assert_array_equal(shown, 255 - grey)
    assert abs(jpeg.astype(int) - shown).max() < 30

    colours = np.random.default_rng(1).integers(0, 255, (256, 3), np.uint8)
    picture = Image.fromarray(grey, "P")
    picture.putpalette(colours.tobytes())
    picture.save(path)
    with FileSource(path) as source:
        shown = imagecodecs.png_decode(result(Window(), source, params(format="png")))
        kept = result(Window(), source, params())
    np.testing.assert_array_equal(shown, colours[grey])
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(kept)).convert("RGB")), shown)

    Image.fromarray(grey > 99).save(path)
    with FileSource(path) as source:
        shown = imagecodecs.png_decode(result(Window(), source, params(format="png")))
    np.testing.assert_array_equal(shown, (grey > 99) * 255)


@pytest.mark.parametrize("codec", ["zlib", "jpeg", "lzw", None, "zstd"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [(64, 64), None])
def test_aligned_tiles_are_copied_as_they_are(
    tmp_path: Path, codec: str | None, order: Any, tile: Any
) -> None:
    rows = np.linspace(0, 255, 200)[:, None, None]
    pixels = np.broadcast_to(rows, (200, 300, 3)).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels,
        compression=codec,
        photometric="rgb" if codec != "jpeg" else "ycbcr",
        tile=tile,
        rowsperstrip=None if tile else 32,
        byteorder=order,
    )
    with FileSource(path) as source:
        grid = Grid(64, 300, 64, 192) if tile else Grid(0, 300, 64, 200)
        plain = result(Window(), source, params(grid=grid))
        asked = params(grid=grid, codec="source")
        copied = result(Window(), source, asked)
        again = result(Window(), BytesSource(copied), params())
        with tifffile.TiffFile(path) as before, tifffile.TiffFile(io.BytesIO(copied)) as after:
            assert after.pages[0].compression == before.pages[0].compression
            assert after.byteorder == order
            wanted = tifffile.imread(io.BytesIO(plain))
            np.testing.assert_array_equal(after.pages[0].asarray(), wanted)
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(again)), wanted)
        if tile:
            with pytest.raises(OutOfRange) as refused:
                result(Window(), source, params(grid=Grid(65, 300, 0, 64), codec="source"))
            assert refused.value.example == "grid=64-300-0-64"


def test_a_far_window_costs_few_round_trips_and_few_bytes(stack: tuple[Path, np.ndarray]) -> None:
    path, pixels = stack
    memo = MemoryMemo()
    far = CountingSource(BytesSource(path.read_bytes()))
    processor = Window()
    asked = params(layer=Layers.of(3), grid=GRID)
    planned = processor.plan(far, asked, PlainContext(memo=memo))
    far.trips = far.bytes = 0
    made = result(processor, far, asked, PlainContext(memo=memo))
    assert far.trips <= 4
    assert far.bytes <= 1.5 * planned.bytes_wanted
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(made)), pixels[3, 30:131, 10:170])


def test_a_request_over_a_limit_is_refused_before_a_pixel_is_read(
    stack: tuple[Path, np.ndarray],
) -> None:
    path, _ = stack
    cases: list[tuple[Limits, WindowParams]] = [
        (Limits(pixels=1000), params(grid=GRID)),
        (Limits(segments=3), params(grid=GRID)),
        (Limits(touched_bytes=10_000), params(grid=GRID)),
        (Limits(output_bytes=1000), params(grid=GRID)),
        (Limits(segment_decoded_bytes=100), params(grid=GRID)),
        (Limits(segment_bytes=100), params(grid=GRID)),
        (Limits(), params(layer=Layers(((0, 10**12),)))),
    ]
    for limits, asked in cases:
        far = CountingSource(BytesSource(path.read_bytes()))
        with pytest.raises((TooLarge, OutOfRange)) as refused:
            Window().plan(far, asked, PlainContext(limits=limits))
        assert refused.value.limit
        assert refused.value.asked
        assert far.bytes < 100_000


def test_who_asks_for_what_is_not_there_is_told_what_is_nearest(
    stack: tuple[Path, np.ndarray],
) -> None:
    path, pixels = stack
    last = len(pixels) - 1
    for asked, nearest in (
        (params(layer=Layers.of(last + 90), grid=GRID), f"layer={last}"),
        (params(layer=Layers.of(1), level=7, grid=GRID), "level=0"),
    ):
        with FileSource(path) as source, pytest.raises(OutOfRange) as refused:
            Window().plan(source, asked, PlainContext())
        assert refused.value.example == nearest


def test_what_a_format_cannot_hold_is_refused_with_one_that_can(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 20, 30), np.float32), photometric="minisblack")
    with FileSource(path) as source:
        for name in ("png", "jpg"):
            with pytest.raises(UnsupportedFormat) as refused:
                Window().plan(source, params(format=name), PlainContext())
            assert refused.value.example == "format=tif"
        with pytest.raises(UnsupportedFormat):
            Window().plan(source, params(format="png", layer=Layers.of(0, 1)), PlainContext())


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": 0},
        {"level": -1},
        {"codec": "source", "stride": 2},
        {"format": "png", "codec": "source"},
    ],
)
def test_a_value_that_can_never_be_right_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        params(**wrong)


def test_info_and_values_say_what_there_is(stack: tuple[Path, np.ndarray]) -> None:
    path, _ = stack
    with FileSource(path) as source:
        told = Window().info(source, PlainContext())
        assert told["layers"] == 5
        assert (told["width"], told["height"], told["dtype"]) == (300, 200, "uint16")
        assert told["levels"] == [[300, 200]]
        assert Window().values("layer", source, PlainContext()) == range(5)
        assert Window().values("level", source, PlainContext()) == range(1)
        assert Window().values("grid", source, PlainContext()) is None


def test_a_file_that_is_no_tiff_is_malformed() -> None:
    for data in (
        b"",
        b"II",
        b"not a tiff at all",
        b"II\x2a\0\xff\xff\xff\xff",
        b"MM\0\x2b\0\x04\0\0",
    ):
        with pytest.raises(ProcessingError):
            Window().plan(BytesSource(data), params(), PlainContext())
