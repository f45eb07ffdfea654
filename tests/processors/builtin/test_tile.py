"""Tiles: together they are the layer, and each comes from the right level."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.builtin.tile import Tile
from processors.errors import OutOfRange
from processors.testing import BytesSource, PlainContext, result
from tests.processors.images import made, pixels_of, pyramid, tiff


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tiles_together_are_the_whole(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 1100)), data.draw(st.integers(1, 1100))
    dtype = data.draw(st.sampled_from(["uint8", "uint16"]))
    full = np.add.outer(np.arange(height) * 3, np.arange(width) * 5) % 251
    source = BytesSource(tiff(full.astype(dtype), tile=(64, 64)))
    last: Any = Tile().info(source, PlainContext())["last_z"]
    z = data.draw(st.integers(0, last))
    wide, high = -(-width >> (last - z)), -(-height >> (last - z))
    context = PlainContext()
    whole = np.zeros((high, wide), np.uint8)
    for x in range(-(-wide // 256)):
        for y in range(-(-high // 256)):
            params = msgspec.convert(
                {"format": "png", "x": x, "y": y, "z": z, "tones": "full"}, Tile.params
            )
            tile = pixels_of(result(Tile(), source, params, context))
            assert tile.shape == (min(256, high - 256 * y), min(256, wide - 256 * x))
            whole[256 * y : 256 * y + 256, 256 * x : 256 * x + 256] = tile
    if z == 0:
        assert max(wide, high) <= 256
    if z == last:
        scaled = full if dtype == "uint8" else np.rint(full / 257)
        assert (whole == scaled).all()


def test_tiles_of_one_layer_share_their_tones() -> None:
    pixels = np.zeros((512, 512), np.uint16)
    pixels[:256, :256] = 100
    pixels[256:, 256:] = 4000
    data = tiff(pixels)
    context = PlainContext()
    found = [
        pixels_of(made(Tile(), data, context, z=1, x=at, y=at, tones="minmax")) for at in (0, 1)
    ]
    assert found[0].max() == found[0].min() == round(100 / 4000 * 255)
    assert found[1].min() == 255


def test_tiles_of_a_pyramid_come_from_its_levels() -> None:
    data = pyramid(np.full((600, 1024), 7, np.uint8))
    shades = [pixels_of(made(Tile(), data, z=z, x=0, y=0)).max() for z in (2, 1, 0)]
    assert shades == [7, 20, 40]


@pytest.mark.parametrize(
    ("values", "example"),
    [
        ({"z": 3, "x": 0, "y": 0}, "z=2"),
        ({"z": 2, "x": 4, "y": 0}, "x=3"),
        ({"z": 2, "x": 0, "y": 9}, "y=2"),
        ({"z": 0, "x": 0, "y": 0, "layer": 1}, "layer=0"),
        ({"z": 0, "x": 0, "y": 0, "band": 1}, "band=0"),
    ],
)
def test_a_tile_that_is_not_there_is_refused(values: dict[str, Any], example: str) -> None:
    with pytest.raises(OutOfRange) as caught:
        made(Tile(), tiff(np.zeros((600, 1024), np.uint8)), **values)
    assert caught.value.example == example
