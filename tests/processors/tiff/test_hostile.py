"""A file made to harm gives a clear refusal, in bounded time and memory, and no other error."""

import contextlib
import os
import random
import resource
import time
import tracemalloc
from pathlib import Path

import pytest

from processors.base import Source
from processors.builtin.window import Window, WindowParams
from processors.errors import Malformed, OutOfRange, ProcessingError, TooLarge, UnsupportedFormat
from processors.testing import BytesSource, CountingSource, PlainContext, result
from processors.values import Grid, Layers
from tests.processors.tiff import hostile

CLEAR = (Malformed, TooLarge, UnsupportedFormat, OutOfRange)
FUZZ_SECONDS = float(os.environ.get("HEADGATE_FUZZ_SECONDS", "4"))
MIB = 1 << 20


def ask(source: Source, seconds: float = 20) -> None:
    """Ask for all that can be asked of a file."""
    processor = Window()
    context = PlainContext(seconds=seconds)
    told = processor.info(source, context)
    width, height = told["width"], told["height"]
    assert isinstance(width, int)
    assert isinstance(height, int)
    grid = Grid(0, min(width, 700), 0, min(height, 700))
    for asked in (
        WindowParams(format="npy", grid=grid),
        WindowParams(format="tif", grid=Grid(width // 2, width // 2 + 1, 0, height // 3 + 1)),
        WindowParams(format="raw", grid=grid, stride=5),
    ):  # fmt: skip
        result(processor, source, asked, context)
    levels = told["levels"]
    assert isinstance(levels, list)
    for level, (wide, high) in enumerate(levels):
        grid = Grid(0, min(wide, 100), 0, min(high, 100))
        result(processor, source, WindowParams(format="raw", level=level, grid=grid), context)
    with contextlib.suppress(*CLEAR):
        result(processor, source, WindowParams(format="tif", codec="source"), context)
    layers = told["layers"]
    assert isinstance(layers, int)
    result(
        processor,
        source,
        WindowParams(format="raw", layer=Layers.of(layers - 1), grid=Grid(0, 1, 0, 1)),
        context,
    )


@pytest.mark.parametrize("name", hostile.CASES)
def test_a_hostile_file_is_refused(name: str) -> None:
    data = hostile.CASES[name]()
    start, cpu = time.monotonic(), time.process_time()
    if name in hostile.READABLE:
        ask(BytesSource(data))
    else:
        for source in (BytesSource(data), CountingSource(BytesSource(data))):
            with pytest.raises(CLEAR) as refused:
                ask(source)
            assert refused.value.detail
            assert "Traceback" not in str(refused.value)
    assert time.process_time() - cpu < 20, f"took {time.monotonic() - start} s"


@pytest.mark.parametrize(
    "name",
    [
        "deflate-bomb",
        "zstd-bomb",
        "lzma-bomb",
        "lzw-bomb",
        "lerc-bomb",
        "size-large",
        "wide-strip",
        "tile-huge",
        "jpeg-of-another-size",
        "jpeg2000-of-another-size",
    ],
)
def test_a_bomb_takes_no_memory(name: str) -> None:
    """Neither Python's own memory nor, by the peak of the process, that of a library."""
    data = hostile.CASES[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        with pytest.raises(CLEAR):
            ask(BytesSource(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 * MIB
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 200 * MIB


def test_a_page_that_is_broken_leaves_the_others_readable() -> None:
    """Three pages, the middle one of an unknown codec."""
    first = hostile.page()
    second = hostile.page(t259=(hostile.SHORT, [4711]))
    data = b"II\x2a\0\x08\0\0\0" + hostile.ifd(first, at=8, after=200)
    data = data.ljust(200, b"\0") + hostile.ifd(second, at=200, after=400)
    data = data.ljust(400, b"\0") + hostile.ifd(first, at=400)
    source = BytesSource(data.ljust(1024, b"\0") + bytes(range(256)) * 16)
    for layer in (0, 2):
        made = result(Window(), source, WindowParams(format="raw", layer=Layers.of(layer)))
        assert made == bytes(range(256)) * 16
    with pytest.raises(UnsupportedFormat):
        result(Window(), source, WindowParams(format="raw", layer=Layers.of(1)))


def test_changed_files_give_pixels_or_a_clear_refusal(
    corpus: dict[str, Path], tmp_path: Path
) -> None:
    """HEADGATE_FUZZ_SECONDS makes it long; HEADGATE_FUZZ_SEED repeats a run."""
    seed = int(os.environ.get("HEADGATE_FUZZ_SEED", "1"))
    rng = random.Random(seed)
    files = {name: path.read_bytes() for name, path in corpus.items()}
    small = sorted(name for name, data in files.items() if len(data) < 400_000)
    end = time.monotonic() + FUZZ_SECONDS
    count = refused = 0
    while time.monotonic() < end:
        name = rng.choice(small)
        state = rng.getstate()
        data = hostile.mutated(files[name], rng)
        start = time.process_time()
        try:
            ask(CountingSource(BytesSource(data)) if count % 2 else BytesSource(data), seconds=100)
        except ProcessingError as e:
            assert isinstance(e, CLEAR), f"{e!r} of {name}, {seed=} {count=}"
            refused += 1
        except Exception as e:
            (tmp_path / "found.tif").write_bytes(data)
            raise AssertionError(f"{name} {seed=} {count=} {hash(state)}") from e
        assert time.process_time() - start < 10
        count += 1
    print(f"{count} files, {refused} refused")
    assert count > 20
    assert refused
