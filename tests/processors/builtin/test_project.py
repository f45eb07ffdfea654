"""Projections are numpy's over the whole stack."""

import io
from typing import Any

import msgspec
import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from processors.base import Limits
from processors.builtin.project import Project, ProjectParams
from processors.errors import OutOfRange, TooLarge, UnsupportedFormat
from processors.testing import BytesSource, PlainContext, result
from processors.values import Grid, Layers

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
DTYPES += ["float32", "float64"]


def stack(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for layer in pixels:
            writer.write(layer, contiguous=False, photometric="minisblack", **options)
    return file.getvalue()


def project(data: bytes, context: PlainContext | None = None, **values: Any) -> bytes:
    params = msgspec.convert({"format": "npy", **values}, ProjectParams)
    return result(Project(), BytesSource(data), params, context)


def array(data: bytes) -> NDArray[Any]:
    found: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_they_are_numpys(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = (rng.normal(0, 80, shape) if "u" not in dtype else rng.random(shape) * 250).astype(
        dtype
    )
    chosen = data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=6))
    y0, x0 = data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(0, shape[2] - 1))
    grid = Grid(x0, shape[2], y0, shape[1])
    source = stack(pixels, tile=(16, 16), compression="zlib")
    part = pixels[chosen, y0:, x0:]
    for op in ("max", "min", "sum", "mean"):
        found = array(project(source, op=op, layers=Layers.of(*chosen), grid=grid))
        if op in {"max", "min"}:
            assert found.dtype == pixels.dtype
            assert (found == getattr(np, op)(part, axis=0)).all()
        else:
            wanted = getattr(np, op)(part.astype(np.float64), axis=0)
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "sums", "means"),
    [
        ("uint8", "uint64", "float32"),
        ("int16", "int64", "float32"),
        ("uint32", "uint64", "float64"),
        ("int64", "float64", "float64"),
        ("float32", "float64", "float32"),
        ("float64", "float64", "float64"),
    ],
)
def test_the_types_are_those_that_are_told(dtype: str, sums: str, means: str) -> None:
    data = stack(np.ones((3, 4, 5), dtype))
    assert array(project(data, op="sum")).dtype == sums
    assert array(project(data, op="mean")).dtype == means


def test_sums_do_not_wrap() -> None:
    data = stack(np.full((40, 8, 8), 0xFFFFFFFF, np.uint32))
    assert (array(project(data, op="sum")) == 40 * 0xFFFFFFFF).all()


def test_no_number_stays_none() -> None:
    pixels = np.ones((3, 4, 4), np.float32)
    pixels[1, 2, 2] = np.nan
    for op in ("max", "min", "sum", "mean"):
        found = array(project(stack(pixels), op=op))
        assert np.isnan(found[2, 2])
        assert np.isfinite(found).sum() == 15


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("samples", [1, 3])
def test_gdal_reads_the_tif(samples: int) -> None:
    rng = np.random.default_rng(4)
    shape = (4, 300, 200) if samples == 1 else (4, 300, 200, 3)
    pixels = rng.integers(0, 60_000, shape, np.uint16)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for layer in pixels:
            kind = "minisblack" if samples == 1 else "rgb"
            writer.write(layer, contiguous=False, photometric=kind)
    made = project(file.getvalue(), op="mean", format="tif", grid=Grid(20, 180, 100, 300))
    with rasterio.MemoryFile(made) as memory, memory.open() as opened:
        found = opened.read()
    wanted = pixels[:, 100:300, 20:180].mean(axis=0).astype(np.float32)
    assert (found == (wanted[None] if samples == 1 else np.moveaxis(wanted, 2, 0))).all()


def test_a_large_stack_is_read_in_bands() -> None:
    """The bands are those of whole tiles, and their seams cannot be seen."""
    rng = np.random.default_rng(6)
    pixels = rng.integers(0, 255, (3, 2100, 2100), np.uint8)
    data = stack(pixels, tile=(256, 256))
    assert (array(project(data, op="sum", grid=Grid(3, 2100, 5, 2100))) ==
            pixels[:, 5:, 3:].sum(axis=0, dtype=np.uint64)).all()  # fmt: skip


def test_layers_of_other_forms_are_refused() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((8, 8), np.uint8))
        writer.write(np.zeros((8, 9), np.uint8))
    with pytest.raises(OutOfRange, match="differ in form"):
        project(file.getvalue(), op="max")
    assert array(project(file.getvalue(), op="max", layers=Layers.of(1))).shape == (8, 9)


def test_layers_that_are_not_there_are_refused_at_once() -> None:
    with pytest.raises(OutOfRange) as caught:
        project(stack(np.zeros((3, 4, 4), np.uint8)), op="max", layers=Layers(((0, 10**9),)))
    assert caught.value.example == "layers=0-3"


def test_more_than_may_be_decoded_is_refused() -> None:
    data = stack(np.zeros((10, 100, 100), np.uint8))
    with pytest.raises(TooLarge):
        project(data, PlainContext(limits=Limits(touched_bytes=90_000)), op="max")
    with pytest.raises(TooLarge):
        project(data, PlainContext(limits=Limits(output_bytes=9_000)), op="max")


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedFormat):
        project(stack(np.zeros((2, 4, 4), np.complex64)), op="sum")
