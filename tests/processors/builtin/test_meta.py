"""Metadata are what GDAL and tifffile say of the same file, and never more than a page."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.transform import Affine

from processors.base import Limits
from processors.builtin.meta import Meta, MetaParams
from processors.errors import OutOfRange, UnsupportedFormat
from processors.testing import BytesSource, FileSource, PlainContext, result


def meta(data: bytes, layer: int = 0) -> Any:
    params = MetaParams(format="json", layer=layer)
    return json.loads(result(Meta(), BytesSource(data), params), parse_constant=pytest.fail)


def tiff(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def test_a_geotiff_is_where_gdal_says(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    transform = Affine(30.0, 0.0, 500_010.0, 0.0, -30.0, 4_200_000.0)
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        width=70,
        height=40,
        count=2,
        dtype="float32",
        crs="EPSG:32633",
        transform=transform,
        nodata=-9999.0,
        compress="deflate",
    ) as made:
        made.write(np.zeros((2, 40, 70), np.float32))
        bounds = made.bounds
    with FileSource(file) as source:
        found = json.loads(result(Meta(), source, MetaParams(format="json")))
    geo = found["geo"]
    assert geo["epsg"] == 32633
    assert geo["corners"]["upper_left"] == [bounds.left, bounds.top]
    assert geo["corners"]["lower_right"] == [bounds.right, bounds.bottom]
    assert geo["transform"] == list(transform)[:6]
    assert float(geo["nodata"]) == -9999
    assert "UTM zone 33N" in geo["keys"]["GTCitationGeoKey"]
    assert (found["codec"], found["samples"], found["dtype"]) == ("deflate", 2, "float32")


def test_an_ome_tiff_tells_sizes_and_channels() -> None:
    about = {
        "axes": "TCZYX",
        "Name": "cells",
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "µm",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    data = tiff(np.zeros((3, 2, 4, 8, 9), np.uint16), metadata=about, ome=True)
    [image] = meta(data)["ome"]["images"]
    assert [image[f"Size{axis}"] for axis in "XYZCT"] == ["9", "8", "4", "2", "3"]
    assert image["channels"] == ["DAPI", "GFP"]
    assert (image["PhysicalSizeX"], image["PhysicalSizeXUnit"]) == ("0.25", "µm")
    assert meta(data, layer=23)["layer"] == 23


def test_tags_have_the_names_and_values_of_tifffile() -> None:
    extra = [(65000, "I", 3, (1, 2, 3), True), (65001, "s", 0, "private", True)]
    data = tiff(
        np.zeros((64, 48), np.uint8),
        tile=(16, 16),
        resolution=(300, 1),
        extratags=extra,
        description="a line",
        software="a program",
    )
    tags = meta(data)["tags"]
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        names = {tag.name for tag in file.pages[0].tags if not tag.name.isdigit()}  # type: ignore[union-attr]
    assert names <= set(tags) | {"65000", "65001"}
    assert tags["ImageWidth"] == 48
    assert tags["ImageDescription"] == "a line"
    assert tags["XResolution"] == "300/1"
    assert tags["Tag65000"] == [1, 2, 3]
    assert tags["Tag65001"] == "private"


@pytest.mark.parametrize("form", ["json", "txt"])
def test_a_long_value_is_told_by_its_start(form: str) -> None:
    extra = [(65000, "I", 100_000, tuple(range(100_000)), True)]
    data = tiff(np.zeros((8, 8), np.uint8), extratags=extra, description="x" * 500_000)
    made = result(Meta(), BytesSource(data), MetaParams(format=form))
    assert len(made) < 5_000
    if form == "json":
        tags = json.loads(made)["tags"]
        assert tags["Tag65000"] == {"first": list(range(16)), "count": 100_000}
        assert tags["ImageDescription"]["bytes"] == 500_001


def test_text_holds_no_line_or_cursor_of_the_file() -> None:
    data = tiff(np.zeros((8, 8), np.uint8), description="one\ntwo\x1b[2J")
    made = result(Meta(), BytesSource(data), MetaParams(format="txt")).decode()
    assert "tags.ImageDescription: one\\ntwo\\x1b[2J" in made.splitlines()
    assert "tags.ImageWidth: 8" in made.splitlines()
    assert "\x1b" not in made


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><OME>&b;</OME>',
        '<!DOCTYPE OME SYSTEM "http://198.51.100.1/x"><OME/>',
        "<OME><Image></OME>",
        "<OME" * 100_000,
    ],
)
def test_a_hostile_description_is_an_error_of_its_own(text: str) -> None:
    found = meta(tiff(np.zeros((8, 8), np.uint8), description=text))
    assert "error" in found["ome"]
    assert found["width"] == 8


def test_hostile_geo_keys_are_an_error_of_their_own() -> None:
    endless = [(34735, "H", 8, (1, 1, 0, 60_000, 3072, 34736, 65_535, 65_535), True)]
    found = meta(tiff(np.zeros((8, 8), np.uint8), extratags=endless))
    assert found["geo"]["keys"] == {"ProjectedCSTypeGeoKey": []}
    many = [(34735, "H", 60_000, (1,) * 60_000, True)]
    assert "error" in meta(tiff(np.zeros((8, 8), np.uint8), extratags=many))["geo"]


def test_numbers_that_json_has_not_are_text() -> None:
    extra = [(65000, "d", 2, (float("nan"), float("inf")), True)]
    assert meta(tiff(np.zeros((8, 8), np.uint8), extratags=extra))["tags"]["Tag65000"] == [
        "nan",
        "inf",
    ]


def test_a_page_of_very_many_tags_is_bounded() -> None:
    extra = [(51_000 + number, "s", 0, "v" * 900, True) for number in range(2_000)]
    data = tiff(np.zeros((8, 8), np.uint8), extratags=extra)
    params = MetaParams(format="json")
    made = result(Meta(), BytesSource(data), params, PlainContext(limits=Limits(tags=4096)))
    assert len(made) < 1 << 20
    assert "more tags" in json.loads(made)["tags"]["..."]


def test_an_ordinary_image_tells_its_size() -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "PNG")
    found = meta(file.getvalue())
    assert (found["width"], found["height"], found["samples"]) == (30, 20, 3)
    assert "tags" not in found


def test_what_is_not_there_or_no_image_is_refused() -> None:
    with pytest.raises(OutOfRange):
        meta(tiff(np.zeros((8, 8), np.uint8)), layer=1)
    with pytest.raises(UnsupportedFormat):
        meta(b"plain text, no image")
    with pytest.raises(UnsupportedFormat):
        meta(b"")


def test_a_tag_that_points_nowhere_leaves_the_others() -> None:
    data = bytearray(tiff(np.zeros((8, 8), np.uint8), description="d" * 100))
    at = data.index(struct.pack("<HHI", 270, 2, 101))
    data[at + 8 : at + 12] = struct.pack("<I", 0xFFFFFF00)
    tags = meta(bytes(data))["tags"]
    assert "error" in tags["ImageDescription"]
    assert tags["ImageLength"] == 8
