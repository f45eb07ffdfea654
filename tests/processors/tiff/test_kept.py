"""Decoded segments are kept for others, each under its own name, and never more than allowed."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
import tifffile

from processors.testing import FileSource, PlainContext
from processors.tiff.file import TiffFile
from processors.tiff.kept import SEGMENTS, Key, Segments
from processors.values import Grid


class NamedSource(FileSource):
    """A file that the gateway has a name for, as all sources of a worker have."""

    identity = ""


def key(offset: int) -> Key:
    return Key("a", "1", 8, offset, 4)


def test_what_is_kept_is_a_copy_that_nobody_can_change() -> None:
    kept = Segments(1 << 20)
    room = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    kept.keep(key(1), room)
    room[:] = 0
    found = kept.get(key(1))
    assert found is not None
    assert found.ravel().tolist() == list(range(16))
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_the_longest_unused_go_first_and_large_ones_never_come() -> None:
    kept = Segments(1024)
    for offset in range(8):
        kept.keep(key(offset), np.zeros((128, 1, 1), np.uint8))
    assert kept.get(key(0)) is not None
    kept.keep(key(8), np.zeros((128, 1, 1), np.uint8))
    assert kept.get(key(1)) is None
    assert kept.get(key(0)) is not None
    kept.keep(key(9), np.zeros((129, 1, 1), np.uint8))
    assert kept.get(key(9)) is None


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lzw"])
@pytest.mark.parametrize("predictor", [False, True])
def test_windows_of_many_layers_are_exact_in_any_order(
    tmp_path: Path, compression: str, *, predictor: bool
) -> None:
    dice = random.Random(3)
    stack = np.random.default_rng(5).integers(0, 60_000, (5, 300, 260), dtype=np.uint16)
    made = io.BytesIO()
    tifffile.imwrite(
        made, stack, tile=(64, 64), compression=compression, predictor=predictor, metadata=None
    )
    path = tmp_path / "a.tif"
    path.write_bytes(made.getvalue())
    with NamedSource(path) as source:
        source.identity = f"{compression}-{predictor}"
        for _ in range(60):
            layer, x, y = dice.randrange(5), dice.randrange(250), dice.randrange(290)
            grid = Grid(x, dice.randrange(x + 1, 261), y, dice.randrange(y + 1, 301))
            found = TiffFile.open(source, PlainContext()).read(layer, 0, grid)
            assert np.array_equal(found, stack[layer, grid.y0 : grid.y1, grid.x0 : grid.x1])
    assert any(k.identity == f"{compression}-{predictor}" for k in SEGMENTS._values)
