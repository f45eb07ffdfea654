"""Histograms: the numbers are numpy's, and plots of the same numbers are the same bytes."""

import csv
import io
import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
import tifffile
from PIL import Image

from processors.builtin.hist import Hist, HistParams
from processors.errors import UnsupportedFormat
from processors.testing import BytesSource, result
from processors.values import Interval
from tests.processors.processes import same_words


def hist(pixels: Any, **values: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    params = msgspec.convert({"format": "csv", **values}, HistParams)
    return result(Hist(), BytesSource(file.getvalue()), params)


def test_the_numbers_are_numpys() -> None:
    pixels = np.random.default_rng(3).normal(0, 9, (60, 70, 3)).astype(np.float32)
    rows = list(csv.DictReader(io.StringIO(hist(pixels, bins=20, range=Interval(-8, 9)).decode())))
    assert len(rows) == 60
    for band in range(3):
        mine = [row for row in rows if row["band"] == str(band)]
        counts, edges = np.histogram(pixels[:, :, band].astype(float), 20, (-8, 9))
        assert [int(row["count"]) for row in mine] == counts.tolist()
        np.testing.assert_allclose([float(row["low"]) for row in mine], edges[:-1])
        np.testing.assert_allclose([float(row["high"]) for row in mine], edges[1:])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)])
def test_a_plot_is_an_image(shape: tuple[int, ...], *, log: bool) -> None:
    pixels = np.random.default_rng(3).integers(0, 200, shape).astype(np.uint8)
    svg = ET.fromstring(hist(pixels, format="svg", log=log))
    assert svg.tag.endswith("svg")
    with Image.open(io.BytesIO(hist(pixels, format="png", log=log))) as image:
        assert image.size == (700, 400)
        assert "Software" not in image.info
        assert np.asarray(image.convert("L")).min() < 50


def test_a_plot_says_neither_when_nor_by_what() -> None:
    svg = hist(np.arange(100, dtype=np.uint8).reshape(10, 10), format="svg")
    assert b"date" not in svg.lower()
    assert b"Matplotlib v" not in svg


def test_a_plot_of_nothing_is_a_plot() -> None:
    assert hist(np.full((4, 4), np.nan, np.float32), format="svg").startswith(b"<?xml")


def test_without_matplotlib_there_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    pixels = np.zeros((4, 4), np.uint8)
    assert hist(pixels, format="csv")
    with pytest.raises(UnsupportedFormat, match="pip install") as caught:
        hist(pixels, format="svg")
    assert caught.value.example == "format=csv"


SCRIPT = """
import hashlib, sys
from processors.builtin.hist import Hist, HistParams
from processors.builtin.stats import Stats, StatsParams
from processors.testing import FileSource, result
with FileSource(sys.argv[1]) as source:
    for form in ("svg", "png", "csv"):
        print(hashlib.sha256(result(Hist(), source, HistParams(format=form))).hexdigest())
    for form in ("json", "csv"):
        print(hashlib.sha256(result(Stats(), source, StatsParams(format=form))).hexdigest())
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "a.tif"
    rng = np.random.default_rng(7)
    tifffile.imwrite(file, rng.normal(100, 20, (400, 500)).astype(np.float32), tile=(64, 64))
    style = tmp_path / "matplotlibrc"
    style.write_text("axes.facecolor: red\nsvg.fonttype: none\n")
    worlds = (
        {"MATPLOTLIBRC": os.devnull, "TZ": "UTC"},
        {"MATPLOTLIBRC": str(style), "TZ": "Asia/Tokyo"},
    )
    assert len(set(same_words(SCRIPT, file, root, worlds))) == 5
