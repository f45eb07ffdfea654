"""A window of 1200 x 400, against GDAL's open and read, and against what the machine can do.

Each round asks both in turn, so that a busy machine is busy for both; the best of many rounds
counts. HEADGATE_BENCH_ROUNDS makes it longer. The guards are wide: the figures are what is printed.
"""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio  # type: ignore[import-untyped]
import tifffile
from rasterio.windows import Window  # type: ignore[import-untyped]

from processors.testing import FileSource, MemoryMemo, PlainContext
from processors.tiff.codecs import decode, is_plain
from processors.tiff.file import TiffFile
from processors.values import Grid

pytestmark = [pytest.mark.bench, pytest.mark.filterwarnings("ignore")]
ROUNDS = int(os.environ.get("HEADGATE_BENCH_ROUNDS", "40"))
GRID = Grid(0, 1200, 0, 400)


def picture(high: int, wide: int) -> np.ndarray:
    y, x = np.mgrid[:high, :wide]
    noise = np.random.default_rng(0).integers(0, 200, (high, wide))
    pixels: np.ndarray = ((np.sin(x / 50) + np.cos(y / 70)) * 10000 + 20000 + noise).astype("u2")
    return pixels


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return 4096 x 4096 in tiles and strips, and 10,000 pages."""
    folder = tmp_path_factory.mktemp("bench")
    large = picture(4096, 4096)
    kinds: dict[str, dict[str, Any]] = {
        "tiles, raw": {"tile": (256, 256)},
        "tiles, deflate": {"tile": (256, 256), "compression": "zlib", "predictor": 2},
        "tiles, zstd": {"tile": (256, 256), "compression": "zstd", "predictor": 2},
        "strips, deflate": {"rowsperstrip": 16, "compression": "zlib"},
    }
    found = {}
    for name, options in kinds.items():
        found[name] = folder / f"{name}.tif"
        tifffile.imwrite(found[name], large, **options)
    found["10,000 pages"] = folder / "stack.tif"
    full, small = large[:400, :1200], large[:24, :1200]
    with tifffile.TiffWriter(found["10,000 pages"], bigtiff=True) as writer:
        for layer in range(10_000):
            writer.write(full if layer == 12 else small, contiguous=False)
    return found


def ours(path: Path, layer: int, memo: MemoryMemo | None = None) -> np.ndarray:
    with FileSource(path) as source:
        return TiffFile.open(source, PlainContext(memo=memo)).read(layer, 0, GRID)


def theirs(path: Path, layer: int) -> np.ndarray:
    name = f"GTIFF_DIR:{layer + 1}:{path}" if layer else path
    with rasterio.open(name) as file:
        read: np.ndarray = file.read(1, window=Window(0, 0, GRID.width, GRID.height))
    return read


def milliseconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def test_a_window_against_gdal(files: dict[str, Path]) -> None:
    """Cold: nothing known of the file. With index: as for every request but the first."""
    for name, path in files.items():
        layer = 12 if "pages" in name else 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(ours(path, layer), theirs(path, layer))
        memo = MemoryMemo()
        ours(path, layer, memo)
        cold, warm, gdal = [], [], []
        for _ in range(ROUNDS):
            gdal.append(milliseconds(lambda: theirs(path, layer)))  # noqa: B023 - called at once
            cold.append(milliseconds(lambda: ours(path, layer)))  # noqa: B023 - likewise
            warm.append(milliseconds(lambda: ours(path, layer, memo)))  # noqa: B023 - likewise
        best = min(gdal)
        print(
            f"\n{name}: cold {min(cold):.2f} ms = {min(cold) / best:.2f} of GDAL's {best:.2f} ms; "
            f"with index {min(warm):.2f} ms = {min(warm) / best:.2f}"
        )
        assert min(cold) < 1.3 * best
        assert min(warm) < 1.1 * best


def machine(path: Path, layer: int) -> tuple[float, float, float]:
    """Return the milliseconds of the window, of its bytes, and of its decoding on all cores."""
    with FileSource(path) as source:
        planned = TiffFile.open(source, PlainContext()).plan(layer, 0, GRID)
        form = planned.page.form
        pieces = [(source.read_at(s.offset, s.size), s.rows) for s in planned.segments]

        def read() -> None:
            for segment in planned.segments:
                source.read_at(segment.offset, segment.size)

        def unpack() -> None:
            for piece, rows in pieces:
                decode(piece, form, rows)

        took, reads, decodes = [], [], []
        for _ in range(ROUNDS):
            took.append(milliseconds(lambda: ours(path, layer)))
            reads.append(milliseconds(read))
            if not is_plain(form):
                decodes.append(milliseconds(unpack))
    best = min(decodes, default=0.0) / (os.cpu_count() or 1)
    return min(took), min(reads), best


def test_a_window_against_the_machine(files: dict[str, Path]) -> None:
    """The yardstick: what it takes to read the bytes, and to decode them on all cores, + 2 ms.

    It takes all cores to be free; on a busy machine the figures are printed, and prove nothing.
    """
    for name, path in files.items():
        took, read, decoded = machine(path, 12 if "pages" in name else 0)
        bound = 1.3 * max(read, decoded) + 2
        print(
            f"\n{name}: {took:.2f} ms; the machine: read {read:.2f}, decode {decoded:.2f} ms, "
            f"so at most {bound:.2f} ms"
        )
        if os.getloadavg()[0] < (os.cpu_count() or 1):
            assert took < 2 * bound


def test_the_index_of_10_000_pages(files: dict[str, Path]) -> None:
    path = files["10,000 pages"]
    memo = MemoryMemo()
    with FileSource(path) as source:
        walk = min(
            milliseconds(lambda: TiffFile.open(source, PlainContext()).layers) for _ in range(5)
        )
        assert TiffFile.open(source, PlainContext(memo=memo)).layers == 10_000
        again = min(
            milliseconds(lambda: TiffFile.open(source, PlainContext(memo=memo)).geometry(9_999))
            for _ in range(9)
        )
    with tifffile.TiffFile(path) as file:
        peer = milliseconds(lambda: len(file.pages))
    print(f"\nwalk of 10,000 pages: {walk:.1f} ms (tifffile {peer:.1f}); remembered {again:.2f} ms")
    assert again < walk
