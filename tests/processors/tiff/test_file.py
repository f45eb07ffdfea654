"""TiffFile gives the pixels that were written, however they are laid out."""

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from processors.base import Source
from processors.errors import Cancelled, Malformed, OutOfRange, TooLarge
from processors.testing import BytesSource, CountingSource, FileSource, PlainContext
from processors.tiff.file import TiffFile
from processors.tiff.threads import POOL
from processors.values import Grid
from tests.processors.tiff import hostile

PAGES, HEIGHT, WIDTH = 2, 150, 170
WINDOWS = [
    (Grid(0, WIDTH, 0, HEIGHT), 1),
    (Grid(13, 100, 20, 140), 1),
    (Grid(13, 160, 20, 140), 3),
    (Grid(5, 170, 2, 150), 70),
    (Grid(169, 170, 149, 150), 1),
]
CODECS = [None, "zlib", "lzw", "zstd", "packbits", "lzma"]
LAYOUTS: list[tuple[Any, ...]] = [
    case
    for case in itertools.product(
        ["u1", "i2", "u4", "i8", "f2", "f4", "f8"],
        CODECS,
        [1, 2, 3],
        [None, (64, 48)],
        [1, 3],
        ["contig", "separate"],
        "<>",
        [False, True],
    )
    if not (case[4] == 1 and case[5] == "separate")
    and not (case[2] != 1 and (case[1] in {None, "packbits"} or case[0] == "i8"))
    and not (case[2] == 2 and case[0][0] == "f")
    and not (case[2] == 3 and case[0][0] != "f")
]


@pytest.mark.parametrize("codec", CODECS)
def test_every_layout_reads_back(tmp_path: Path, codec: str | None) -> None:
    chosen = random.Random(7).sample([case for case in LAYOUTS if case[1] == codec], 40)
    for dtype, _, predictor, tile, samples, planar, order, is_big in chosen:
        noise = np.random.default_rng(1).random((PAGES, HEIGHT, WIDTH, samples))
        pixels = (noise.cumsum(axis=1) * 3).astype(dtype)
        stored = np.moveaxis(pixels, -1, 1) if planar == "separate" else pixels
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(path, byteorder=order, bigtiff=is_big) as writer:
            for page in stored[..., 0] if samples == 1 else stored:
                writer.write(
                    np.ascontiguousarray(page),
                    compression=codec,
                    predictor=predictor if predictor > 1 else None,
                    tile=tile,
                    rowsperstrip=None if tile else 11,
                    contiguous=False,
                    photometric="rgb" if samples == 3 else "minisblack",
                    planarconfig=planar if samples == 3 else None,
                )
        expected = pixels[..., 0] if samples == 1 else pixels
        with FileSource(path) as near:
            far = CountingSource(BytesSource(path.read_bytes()))
            sources: list[Source] = [near, far]
            for source in sources:
                file = TiffFile.open(source, PlainContext())
                assert file.layers == PAGES
                for grid, stride in WINDOWS:
                    read = file.read(1, 0, grid, stride=stride)
                    rows = slice(grid.y0, grid.y1, stride)
                    wanted = expected[1][rows, grid.x0 : grid.x1 : stride]
                    assert read.dtype == wanted.dtype
                    np.testing.assert_array_equal(read, wanted)


@pytest.mark.parametrize(
    "grid", [Grid(0, 171, 0, 10), Grid(5, 5, 0, 10), Grid(-1, 5, 0, 10), Grid(0, 10, 8, 4)]
)
def test_a_grid_outside_of_the_layer_is_refused(tmp_path: Path, grid: Grid) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((HEIGHT, WIDTH), np.uint8))
    with FileSource(path) as source:
        file = TiffFile.open(source, PlainContext())
        with pytest.raises(OutOfRange) as refused:
            file.read(0, 0, grid)
        assert refused.value.asked == f"grid {grid}"
        assert refused.value.example == f"grid=0-{WIDTH}-0-{HEIGHT}"
        for layer in (-1, 1, 10**9):
            with pytest.raises(OutOfRange):
                file.read(layer, 0, Grid(0, 1, 0, 1))


@pytest.fixture(params=[0, 3])
def helpers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Decode alone, and with helpers, whatever the load of this machine is."""
    monkeypatch.setattr(POOL, "helpers", lambda wanted: min(wanted - 1, request.param))
    monkeypatch.setattr(POOL, "size", 4)
    found: int = request.param
    return found


def test_helpers_change_nothing(tmp_path: Path, helpers: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 60000, (900, 800), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib", predictor=2)
    with FileSource(path) as source:
        for _ in range(5):
            file = TiffFile.open(source, PlainContext())
            np.testing.assert_array_equal(file.read(0, 0, Grid(0, 800, 0, 900)), pixels)


def test_an_error_in_any_tile_ends_the_window(tmp_path: Path, helpers: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 60000, (900, 800), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as written:
        offsets = written.pages[0].dataoffsets
    for number in (0, 50, len(offsets) - 1):
        data = bytearray(path.read_bytes())
        data[offsets[number] : offsets[number] + 8] = b"\xff" * 8
        file = TiffFile.open(BytesSource(bytes(data)), PlainContext())
        with pytest.raises(Malformed):
            file.read(0, 0, Grid(0, 800, 0, 900))
        # The next one is not disturbed by what was left of this one.
        intact = TiffFile.open(BytesSource(path.read_bytes()), PlainContext())
        np.testing.assert_array_equal(intact.read(0, 0, Grid(0, 800, 0, 900)), pixels)


def test_too_little_memory_is_a_refusal(
    tmp_path: Path, helpers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((900, 900), np.uint16), tile=(64, 64), compression="zlib")

    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("processors.tiff.reader.decode", short)
    with FileSource(path) as source, pytest.raises(TooLarge):
        TiffFile.open(source, PlainContext()).read(0, 0, Grid(0, 900, 0, 900))


def test_a_window_that_nobody_wants_any_more_ends(tmp_path: Path, helpers: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2000, 2000), np.uint16), tile=(64, 64), compression="zlib")
    with FileSource(path) as source:
        context = PlainContext()
        file = TiffFile.open(source, context)
        planned = file.plan(0, 0, Grid(0, 2000, 0, 2000))
        context.is_wanted = False
        with pytest.raises(Cancelled):
            file.read_plan(planned)


@pytest.mark.parametrize("bits", [*range(1, 33), 33, 39, 40, 47, 48, 53, 56, 63, 64])
@pytest.mark.parametrize("sign", [1, 2])
@pytest.mark.parametrize("wide", [1, 7, 150])
def test_samples_of_any_number_of_bits(
    bits: int, sign: int, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed here, bit by bit, the highest first; whole bytes in the order of the file."""
    monkeypatch.setattr("processors.tiff.codecs._WIDE_SAMPLES", 64)
    rng = random.Random(bits)
    low = -(1 << bits - 1) if sign == 2 else 0
    numbers = [[rng.randrange(1 << bits) + low for _ in range(wide)] for _ in range(9)]
    data = b""
    for row in numbers:
        if bits % 8 == 0 and bits != 24:
            data += b"".join((n % (1 << bits)).to_bytes(bits // 8, "little") for n in row)
        else:
            text = "".join(f"{n % (1 << bits):0{bits}b}" for n in row)
            text += "0" * (-len(text) % 8)
            data += int(text, 2).to_bytes(len(text) // 8, "big")
    short, long = hostile.SHORT, hostile.LONG
    tags = hostile.page(
        t256=(long, [wide]),
        t257=(long, [9]),
        t258=(short, [bits]),
        t278=(long, [9]),
        t279=(long, [len(data)]),
        t339=(short, [sign]),
    )
    file = TiffFile.open(BytesSource(hostile.file(tags, data)), PlainContext())
    read = file.read(0, 0, Grid(0, wide, 0, 9))
    assert read.dtype.kind == ("i" if sign == 2 else "u")
    assert read.tolist() == numbers
