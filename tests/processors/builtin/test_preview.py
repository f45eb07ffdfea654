"""Previews and tiles show what numpy and Pillow make of the same pixels, from the right level."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from processors.base import Limits
from processors.builtin.preview import Preview
from processors.builtin.thumb import Thumb
from processors.builtin.tile import Tile
from processors.errors import (
    BadValue,
    Malformed,
    OutOfRange,
    ProcessingError,
    TooLarge,
    UnsupportedFormat,
)
from processors.testing import BytesSource, CountingSource, PlainContext, result
from tests.processors.images import made, picture, pixels_of, pyramid, tiff
from tests.processors.processes import same_words

GREY = np.random.default_rng(2).integers(0, 256, (240, 360), np.uint8)
RGB = np.random.default_rng(2).integers(0, 256, (240, 360, 3), np.uint8)


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_a_whole_factor_is_the_mean_of_its_pixels(pixels: NDArray[Any]) -> None:
    found = pixels_of(made(Preview(), tiff(pixels, tile=(64, 48)), size=120))
    blocks = pixels.reshape(80, 3, 120, 3, -1).mean(axis=(1, 3)).squeeze()
    assert found.shape == blocks.shape
    assert np.abs(found - blocks).max() <= 0.5 + 1e-9


def test_it_is_never_made_larger() -> None:
    assert (pixels_of(made(Preview(), tiff(GREY), size=2000)) == GREY).all()


@pytest.mark.parametrize(
    ("size", "level"), [(512, 0), (258, 0), (256, 1), (200, 1), (128, 2), (64, 3), (20, 3)]
)
def test_the_smallest_level_that_will_do_is_read(size: int, level: int) -> None:
    full = np.full((300, 512), 7, np.uint8)
    source = CountingSource(BytesSource(pyramid(full)))
    params = msgspec.convert({"format": "png", "size": size}, Preview.params)
    found = pixels_of(result(Preview(), source, params))
    assert found.max() == found.min() == (level * 20 or 7)
    if level > 1:
        assert source.bytes < full.size


def test_sixteen_bits_are_stretched_between_percentiles() -> None:
    pixels = np.arange(10_000).reshape(100, 100).astype(np.uint16)
    found = pixels_of(made(Preview(), tiff(pixels)))
    low, high = np.percentile(pixels, (1, 99))
    wanted = np.clip((pixels - low) / (high - low) * 255, 0, 255)
    assert np.abs(found - wanted).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64", "float16"])
def test_least_and_greatest_become_black_and_white(dtype: str) -> None:
    pixels = np.linspace(0, 1000, 2500).reshape(50, 50).astype(dtype)
    found = pixels_of(made(Preview(), tiff(pixels), tones="minmax"))
    wanted = pixels.astype(float) / float(pixels.max()) * 255
    assert np.abs(found - wanted).max() <= 0.5 + 1e-3


def test_the_whole_range_of_a_type() -> None:
    pixels = np.array([[0, 257, 65_535]], np.uint16)
    assert pixels_of(made(Preview(), tiff(pixels), tones="full")).tolist() == [[0, 1, 255]]


def test_what_is_no_number_is_black() -> None:
    pixels = np.full((20, 20), 5.0, np.float32)
    pixels[:10] = np.nan
    pixels[19, 19] = np.inf
    pixels[18, 18] = 4
    found = pixels_of(made(Preview(), tiff(pixels), tones="minmax"))
    assert found[:10].max() == 0
    assert found[12, 12] == 255
    nothing = np.full((20, 20), np.nan, np.float32)
    assert pixels_of(made(Preview(), tiff(nothing))).max() == 0


def test_a_constant_layer_has_a_preview() -> None:
    assert pixels_of(made(Preview(), tiff(np.full((9, 9), 1234, np.uint16)))).shape == (9, 9)


def test_white_may_be_zero() -> None:
    found = pixels_of(made(Preview(), tiff(GREY, photometric="miniswhite")))
    assert (found == 255 - GREY).all()


def test_bits_are_black_and_white() -> None:
    bits = GREY > 100
    found = pixels_of(made(Preview(), tiff(bits, photometric="minisblack")))
    assert (found == np.where(bits, 255, 0)).all()


def test_a_palette_is_applied_before_pixels_are_averaged() -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[0, 10], colours[2, 200] = 65_535, 65_535
    pixels = np.full((8, 8), 10, np.uint8)
    pixels[::2] = 200
    data = tiff(pixels, photometric="palette", colormap=colours)
    assert (pixels_of(made(Preview(), data, size=4)) == [128, 0, 128]).all()


def test_one_band_is_grey() -> None:
    found = pixels_of(made(Preview(), tiff(RGB), band=2))
    assert (found == RGB[:, :, 2]).all()


def test_opacity_is_kept_where_the_format_has_it() -> None:
    rgba = np.dstack([RGB, GREY])
    data = tiff(rgba, photometric="rgb", extrasamples=["unassalpha"])
    assert (pixels_of(made(Preview(), data)) == rgba).all()
    jpg = pixels_of(made(Preview(), data, format="jpg", quality=100))
    share = GREY[:, :, None] / 255
    assert np.abs(jpg - (RGB * share + 255 * (1 - share))).mean() < 40
    assert jpg.shape == RGB.shape


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_the_formats_are_what_they_say(form: str) -> None:
    smooth = np.add.outer(np.arange(200), np.arange(300)).astype(np.float32)
    data = made(Preview(), tiff(smooth), format=form, tones="minmax")
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == {"jpg": "JPEG"}.get(form, form.upper())
        grey = np.asarray(image.convert("L")).astype(float)
    assert np.abs(grey - smooth / smooth.max() * 255).mean() < 2


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
def test_ordinary_images_look_as_pillow_shows_them(form: str, mode: str) -> None:
    image = Image.fromarray(RGB).resize((60, 40)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    try:
        data = picture(form, image, **({"lossless": True} if form == "WEBP" else {}))
    except (OSError, ValueError):
        pytest.skip(f"{form} has no {mode}")
    found = pixels_of(made(Preview(), data, tones="full"))
    with Image.open(io.BytesIO(data)) as opened:
        plain = opened.convert("RGB") if opened.mode != "I;16" else opened
        wanted = np.asarray(plain)
    if wanted.dtype != np.uint8:
        wanted = (wanted // 257).astype(np.uint8)
    shown = Image.fromarray(found).convert("RGB") if wanted.ndim == 3 else Image.fromarray(found)
    assert np.abs(np.asarray(shown).astype(int) - wanted).max() <= 1


def test_a_large_jpeg_is_decoded_small() -> None:
    image = Image.fromarray(np.full((2400, 3000, 3), 90, np.uint8))
    data = picture("JPEG", image)
    tight = PlainContext(limits=Limits(segment_decoded_bytes=1_500_000))
    found = pixels_of(made(Preview(), data, tight, size=300))
    assert found.shape == (240, 300, 3)
    assert abs(int(found.mean()) - 90) <= 1
    with pytest.raises(TooLarge):
        made(Preview(), data, tight, size=1600)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photograph_stands_upright(turn: int) -> None:
    image = Image.fromarray(np.kron(GREY[:4, :6], np.ones((16, 16), np.uint8)))
    exif = Image.Exif()
    exif[274] = turn
    data = picture("PNG", image, exif=exif)
    found = pixels_of(made(Preview(), data))
    with Image.open(io.BytesIO(data)) as opened:
        from PIL import ImageOps

        wanted = np.asarray(ImageOps.exif_transpose(opened))
    assert (found == wanted).all()


def test_frames_of_an_animation_are_layers() -> None:
    frames = [Image.new("RGB", (20, 10), (shade, 0, 0)) for shade in (50, 100, 200)]
    for form in ("GIF", "WEBP", "PNG"):
        lossless = {"lossless": True} if form == "WEBP" else {}
        data = picture(form, frames[0], save_all=True, append_images=frames[1:], **lossless)
        reds = [pixels_of(made(Preview(), data, layer=n))[0, 0, 0] for n in range(3)]
        assert [
            abs(int(red) - wanted) <= 2 for red, wanted in zip(reds, (50, 100, 200), strict=True)
        ]
        assert list(Preview().values("layer", BytesSource(data), PlainContext()) or ()) == [0, 1, 2]
        with pytest.raises(OutOfRange):
            made(Preview(), data, layer=3)


def test_a_thumbnail_is_a_preview_of_a_fixed_size() -> None:
    data = tiff(np.random.default_rng(0).integers(0, 3000, (300, 700), np.uint16))
    assert made(Thumb(), data, format="jpg") == made(Preview(), data, format="jpg", size=256)
    with pytest.raises(msgspec.ValidationError):
        made(Thumb(), data, size=100)


@pytest.mark.parametrize(
    "values",
    [{"size": 0}, {"size": -5}, {"quality": 0}, {"quality": 101}, {"low": 60, "high": 40}],
)
def test_a_value_out_of_its_bounds_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        made(Preview(), tiff(GREY), **values)


def test_a_preview_has_a_largest_size() -> None:
    with pytest.raises(TooLarge) as caught:
        made(Preview(), tiff(GREY), size=3000)
    assert caught.value.example == "size=2048"


def test_more_than_may_be_decoded_is_refused_with_a_way_out() -> None:
    context = PlainContext(limits=Limits(touched_bytes=100_000))
    pixels = np.zeros((600, 700), np.uint16)
    with pytest.raises(TooLarge, match="pyramid"):
        made(Preview(), tiff(pixels), context)
    small = tiff(pixels, tile=(64, 64))
    with pytest.raises(TooLarge) as caught:
        made(Tile(), small, PlainContext(limits=Limits(touched_bytes=700_000)), z=2, x=0, y=0)
    assert caught.value.example == "tones=full"
    assert made(Tile(), small, PlainContext(limits=Limits(touched_bytes=700_000)), z=2, x=0, y=0,
                tones="full")  # fmt: skip


def bombs() -> dict[str, bytes]:
    """Return small files that say that they are huge."""
    png = bytearray(picture("PNG", Image.new("L", (16, 16))))
    png[16:24] = (60_000).to_bytes(4) * 2
    import zlib

    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4)
    gif = bytearray(picture("GIF", Image.new("L", (16, 16))))
    gif[6:10] = b"\xff\xff\xff\xff"
    white = picture("PNG", Image.new("1", (16_000, 16_000)))
    return {"png": bytes(png), "gif": bytes(gif), "white": white}


@pytest.mark.parametrize("name", ["png", "gif", "white"])
def test_a_bomb_is_too_large(name: str) -> None:
    context = PlainContext(limits=Limits(segment_decoded_bytes=100 << 20))
    with pytest.raises(TooLarge):
        made(Preview(), bombs()[name], context)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_images_are_refused_and_nothing_else(form: str, data: st.DataObject) -> None:
    options = {"compression": "tiff_adobe_deflate"} if form == "TIFF" else {}
    whole = bytearray(picture(form, Image.fromarray(RGB[:40, :60]), **options))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        made(Preview(), bytes(whole[: cut or None]))
    except (Malformed, TooLarge, UnsupportedFormat, OutOfRange) as error:
        assert isinstance(error, ProcessingError)


def test_complex_numbers_have_no_preview() -> None:
    with pytest.raises(UnsupportedFormat):
        made(Preview(), tiff(np.zeros((4, 4), np.complex64)))


SCRIPT = """
import hashlib, sys
import msgspec
from processors.builtin.preview import Preview
from processors.testing import FileSource, result
from processors.builtin.thumb import Thumb
from processors.builtin.tile import Tile
from tests.processors.images import made, picture, pixels_of, pyramid, tiff
for kind, more in ((Preview(), {}), (Thumb(), {}), (Tile(), {"z": 1, "x": 1, "y": 0})):
    for form in ("png", "jpg", "webp"):
        params = msgspec.convert({"format": form, **more}, kind.params)
        with FileSource(sys.argv[1]) as source:
            print(hashlib.sha256(result(kind, source, params)).hexdigest())
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "a.tif"
    rng = np.random.default_rng(7)
    tifffile.imwrite(
        file,
        rng.normal(100, 20, (400, 500, 3)).astype(np.float32),
        tile=(64, 64),
        photometric="rgb",
    )
    assert len(set(same_words(SCRIPT, file, root))) == 9
