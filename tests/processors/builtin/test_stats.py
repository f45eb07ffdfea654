"""Statistics are those of numpy over the whole window at once."""

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from processors.base import Limits
from processors.builtin.stats import Stats, StatsParams
from processors.builtin.summary import Question, Summary, summarised
from processors.errors import BadValue, OutOfRange, TooLarge, UnsupportedFormat
from processors.testing import BytesSource, FileSource, PlainContext, result
from processors.values import Grid, Interval
from tests.processors.image.test_reduction import Array

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
DTYPES += ["float16", "float32", "float64"]
PERCENTILES = (0.0, 1.0, 12.5, 50.0, 77.7, 99.0, 100.0)


def stats(**values: object) -> StatsParams:
    """Return parameters by the way that those of a request come."""
    return msgspec.convert(values, StatsParams)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def found_in(
    pixels: NDArray[Any], span: Interval | None = None, *, bins: int = 10
) -> list[Summary]:
    picture = Array(pixels, (7, 5))
    return summarised(
        picture,
        0,
        grid=picture.look(0).grid,
        bands=range(pixels.shape[2]),
        question=Question(PERCENTILES, bins, span),
        context=PlainContext(),
    )


def same(found: float | None, wanted: Any, tolerance: float = 1e-12) -> None:
    assert found is not None
    assert float(found) == pytest.approx(float(wanted), rel=tolerance, abs=1e-300)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_they_are_numpys(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 3)))
    widths: dict[str, Any] = {"float16": 16, "float32": 32, "float64": 64}
    elements = st.floats(width=widths[dtype]) if dtype in widths else None
    pixels = data.draw(hnp.arrays(dtype, shape, elements=elements, fill=st.nothing()))
    if dtype == "float64":
        # Sums of squares that a double can hold.
        pixels = np.where(np.abs(pixels) > 1e150, pixels.dtype.type(3), pixels)
    for one in found_in(pixels):
        values = pixels[:, :, one.band].ravel()
        good = values[np.isfinite(values)]
        assert one.nan_count == np.isnan(values.astype(float)).sum()
        assert one.infinite_count == values.size - good.size - one.nan_count
        assert one.count == good.size
        if not good.size:
            assert one.least is one.greatest is one.mean is one.std is None
            assert sum(one.histogram.counts) == 0
            continue
        assert one.least == good.min().item()
        assert one.greatest == good.max().item()
        assert sum(one.histogram.counts) == good.size
        wide = good.astype(np.float64)
        scale = float(np.abs(wide).max())
        assert one.mean == pytest.approx(wide.mean(), rel=1e-9, abs=1e-12 * scale)
        assert one.std == pytest.approx(wide.std(), rel=1e-6, abs=1e-9 * scale)
        wanted = np.percentile(wide, PERCENTILES)
        for (_, found), value in zip(one.percentiles, wanted, strict=True):
            assert found == pytest.approx(value, rel=1e-12, abs=1e-12 * scale)


@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_mean_and_percentiles_are_exact(dtype: str) -> None:
    rng = np.random.default_rng(5)
    top = min(float(np.finfo(dtype).max) if "f" in dtype else float(np.iinfo(dtype).max), 1e6)
    pixels = (rng.random((63, 47, 2)) * top).astype(dtype)
    pixels[3, 4] = 0
    for one in found_in(pixels, bins=37):
        values = pixels[:, :, one.band].ravel()
        if dtype == "float16":
            values = values.astype(np.float32)  # numpy's own sums of halves are too narrow
        same(one.mean, values.mean(dtype=np.float64))
        same(one.std, values.std(dtype=np.float64))
        for percent, value in one.percentiles:
            same(value, np.percentile(values.astype(np.float64), percent), 1e-15)
        counts, edges = np.histogram(values.astype(np.float64), 37)
        assert one.histogram.counts == tuple(counts)
        np.testing.assert_allclose(one.histogram.edges(), edges, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_range_leaves_out_what_lies_outside(dtype: str) -> None:
    pixels = np.arange(120).reshape(10, 12, 1).astype(dtype)
    [one] = found_in(pixels, Interval(10.5, 60.0), bins=7)
    counts, _ = np.histogram(pixels, 7, (10.5, 60.0))
    assert one.histogram.counts == tuple(counts)
    assert one.count == 120


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float64"])
def test_one_value_has_a_histogram_too(dtype: str) -> None:
    [one] = found_in(np.full((3, 3, 1), 7, dtype))
    assert sum(one.histogram.counts) == 9
    assert one.histogram.low < 7 < one.histogram.high
    assert one.std == 0


def test_a_span_beyond_doubles_is_counted() -> None:
    pixels = np.array([-1.7e308, 1.7e308, 0.0, 1.0]).reshape(1, 4, 1)
    [one] = found_in(pixels)
    assert one.histogram.counts == (1, 0, 0, 0, 0, 2, 0, 0, 0, 1)


def test_whole_numbers_at_the_ends_of_their_types() -> None:
    for dtype in ("int64", "uint64", "int32"):
        info = np.iinfo(dtype)
        pixels = np.array([info.min, info.max, info.max], dtype).reshape(1, 3, 1)
        [one] = found_in(pixels)
        assert (one.least, one.greatest) == (info.min, info.max)
        same(one.mean, (int(info.min) + 2 * int(info.max)) / 3)
        assert dict(one.percentiles)[50.0] == info.max


def test_json_holds_no_infinity() -> None:
    pixels = np.full((4, 4), 1.7e308)
    pixels[0, 0] = -1.7e308
    pixels[1, 1] = np.nan
    made = result(Stats(), BytesSource(tiff(pixels)), stats(format="json"))
    [band] = json.loads(made, parse_constant=pytest.fail)["bands"]
    assert band["nan_count"] == 1
    assert band["max"] == 1.7e308


def test_a_window_of_a_tiled_file(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 4000, (300, 500, 3)).astype(np.uint16)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels, tile=(64, 64), compression="zlib", photometric="rgb")
    params = stats(format="csv", grid=Grid(10, 450, 77, 201), percentiles=[50.0])
    with FileSource(file) as source:
        made = result(Stats(), source, params)
    rows = list(csv.DictReader(io.StringIO(made.decode())))
    assert [row["band"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        values = pixels[77:201, 10:450, int(row["band"])]
        assert int(row["count"]) == values.size
        assert int(row["min"]) == values.min()
        assert float(row["mean"]) == pytest.approx(values.mean(), rel=1e-14)
        assert float(row["p50"]) == np.median(values)


def test_the_memory_does_not_grow_with_the_window(tmp_path: Path) -> None:
    peaks = []
    for side in (2048, 3072):
        file = tmp_path / f"{side}.tif"
        image = np.memmap(file.with_suffix(".raw"), np.float32, "w+", shape=(side, side))
        tifffile.imwrite(file, image, tile=(256, 256))
        del image
        with FileSource(file) as source:
            tracemalloc.start()
            result(Stats(), source, stats(format="json"))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    "values",
    [
        {"bins": 0},
        {"bins": 70_000},
        {"percentiles": []},
        {"percentiles": [101.0]},
        {"percentiles": [float("nan")]},
        {"percentiles": [1.0] * 33},
        {"range": Interval(2, 2)},
        {"range": Interval(float("nan"), 2)},
    ],
)
def test_a_value_out_of_its_bounds_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadValue) as caught:
        stats(format="json", **values)
    assert caught.value.asked


@pytest.mark.parametrize(
    ("values", "example"),
    [
        ({"layer": 3}, "layer=0"),
        ({"layer": -1}, "layer=0"),
        ({"band": 1}, "band=0"),
        ({"grid": Grid(0, 9, 0, 90)}, "grid=0-9-0-20"),
        ({"grid": Grid(40, 50, 0, 9)}, "grid=0-30-0-9"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(values: dict[str, object], example: str) -> None:
    source = BytesSource(tiff(np.zeros((20, 30), np.uint8)))
    for call in (Stats().plan, lambda *given: result(Stats(), given[0], given[1], given[2])):
        with pytest.raises(OutOfRange) as caught:
            call(source, stats(format="json", **values), PlainContext())
        assert caught.value.limit
        assert caught.value.example == example


def test_more_than_may_be_decoded_is_refused() -> None:
    source = BytesSource(tiff(np.zeros((200, 300), np.uint8)))
    context = PlainContext(limits=Limits(touched_bytes=50_000))
    with pytest.raises(TooLarge):
        Stats().plan(source, stats(format="json"), context)
    smaller = stats(format="json", grid=Grid(0, 300, 0, 100))
    assert Stats().plan(source, smaller, context).decoded_bytes <= 50_000


def test_many_bands_are_counted_one_at_a_time() -> None:
    pixels = np.zeros((2, 2, 300), np.float64)
    source = BytesSource(tiff(pixels, photometric="minisblack", planarconfig="contig"))
    with pytest.raises(TooLarge) as caught:
        Stats().plan(source, stats(format="json"), PlainContext())
    assert caught.value.example == "band=0"
    assert json.loads(result(Stats(), source, stats(format="json", band=299)))["bands"]


def test_complex_numbers_have_no_order() -> None:
    source = BytesSource(tiff(np.zeros((2, 2), np.complex64)))
    with pytest.raises(UnsupportedFormat):
        Stats().plan(source, stats(format="json"), PlainContext())
