"""What a process knows of the pages of a file serves its next requests, and is bounded."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from processors.base import Limits
from processors.errors import Malformed, OutOfRange, ProcessingError, TooLarge
from processors.testing import BytesSource, CountingSource, MemoryMemo, PlainContext
from processors.tiff import index
from processors.tiff.file import TiffFile
from processors.tiff.kept import Kept
from processors.values import Grid

GRID = Grid(0, 20, 0, 10)


class Named(CountingSource):
    """A source that the gateway has a name for, as all sources of a worker have."""

    def __init__(self, data: bytes, identity: str, version: str = "1") -> None:
        super().__init__(BytesSource(data, version=version))
        self.identity = identity


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_KEPT", Kept(index._KEPT_BYTES))


def stack(count: int, first: int = 0) -> tuple[np.ndarray, bytes]:
    pixels = np.arange(first, first + count * 800, dtype=np.uint16).reshape(count, 20, 40)
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, metadata=None, photometric="minisblack")
    return pixels, out.getvalue()


def read(source: Named, layer: int) -> np.ndarray:
    """Read a window of a layer; no memo tells anything, as after it was emptied."""
    return TiffFile.open(source, PlainContext()).read(layer, 0, GRID)


def test_the_second_request_walks_no_page() -> None:
    pixels, data = stack(30)
    first, second, third = (Named(data, "a") for _ in range(3))
    assert np.array_equal(read(first, 29), pixels[29, :10, :20])
    assert np.array_equal(read(second, 29), pixels[29, :10, :20])
    assert np.array_equal(read(third, 3), pixels[3, :10, :20])
    # The tables of the page, and its pixels.
    assert second.trips == third.trips == 2 < first.trips


def test_what_is_known_of_a_version_or_a_name_tells_nothing_of_others() -> None:
    pixels, data = stack(5)
    others, longer = stack(9, first=7)
    read(Named(data, "a"), 4)
    with pytest.raises(OutOfRange):
        read(Named(data, "a"), 8)
    assert np.array_equal(read(Named(longer, "a", "2"), 8), others[8, :10, :20])
    assert np.array_equal(read(Named(longer, "b"), 8), others[8, :10, :20])
    assert np.array_equal(read(Named(data, "a"), 4), pixels[4, :10, :20])
    read(Named(data, ""), 4)
    assert {key for key in index._KEPT._values if not key[0]} == set()


def test_who_walks_on_changes_nothing_for_who_reads() -> None:
    pixels, data = stack(60)
    read(Named(data, "a"), 5)
    reader = TiffFile.open(Named(data, "a"), PlainContext())
    walker = TiffFile.open(Named(data, "a"), PlainContext())
    rows, layers = reader._index._rows, list(reader._index._layers)
    assert np.array_equal(walker.read(59, 0, GRID), pixels[59, :10, :20])
    assert walker.layers == 60
    assert (reader._index._rows, reader._index._layers) == (rows, layers)
    assert np.array_equal(reader.read(40, 0, GRID), pixels[40, :10, :20])
    assert TiffFile.open(Named(data, "a"), PlainContext()).is_whole


def test_levels_that_are_found_stay_known(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    full = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    with tifffile.TiffWriter(path) as writer:
        writer.write(full, subifds=1, tile=(16, 16), metadata=None)
        writer.write(full[::2, ::2], subfiletype=1, tile=(16, 16), metadata=None)
    data = path.read_bytes()
    first = TiffFile.open(Named(data, "a"), PlainContext())
    assert first.levels(0) == 2
    source = Named(data, "a")
    second = TiffFile.open(source, PlainContext())
    assert second.levels(0) == 2
    assert second.geometry(0, 1).width == 32
    assert source.trips == 0


def test_a_long_index_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_KEPT", Kept(16_000))
    pixels, data = stack(40)
    assert np.array_equal(read(Named(data, "a"), 39), pixels[39, :10, :20])
    assert ("a", "1") not in index._KEPT._values or index._KEPT._size <= 2_000
    for number in range(40):
        read(Named(data, f"b{number}"), 0)
    assert index._KEPT._size <= 16_000
    assert len(index._KEPT._values) < 40


def chain(count: int, after: int) -> bytes:
    """Return pages without a form; the last leads to `after`."""
    offsets = [8 + 18 * number for number in range(1, count)] + [after]
    pages = (struct.pack("<HHHIII", 1, 254, 4, 1, 0, offset) for offset in offsets)
    return b"II\x2a\0" + struct.pack("<I", 8) + b"".join(pages)


def refused(source: Named, context: PlainContext) -> ProcessingError:
    with pytest.raises(ProcessingError) as caught:
        print(TiffFile.open(source, context).layers)
    return caught.value


@pytest.mark.parametrize("identity", ["a", ""], ids=["by the process", "by the memo"])
@pytest.mark.parametrize("after", [8, 8 + 18 * 1000, 2**31], ids=["loop", "tail", "nowhere"])
def test_where_a_chain_breaks_is_found_once_for_a_version(identity: str, after: int) -> None:
    data, memo = chain(2000, after), MemoryMemo()
    first, again = Named(data, identity), Named(data, identity)
    told = refused(first, PlainContext(memo=memo))
    assert isinstance(told, Malformed)
    assert first.trips > 1
    same = refused(again, PlainContext(memo=memo))
    assert (type(same), same.detail) == (type(told), told.detail)
    assert again.trips == 0
    # The pages before are there as they were.
    with pytest.raises(ProcessingError):
        TiffFile.open(again, PlainContext(memo=memo)).geometry(3)
    # Another version is another file.
    mended = Named(chain(2000, 0), identity, "2")
    assert TiffFile.open(mended, PlainContext(memo=memo)).layers == 2000


@pytest.mark.parametrize("identity", ["a", ""], ids=["by the process", "by the memo"])
@pytest.mark.parametrize("room", [16 << 20, 1 << 20], ids=["short", "long for the process"])
def test_too_many_pages_are_counted_once(
    monkeypatch: pytest.MonkeyPatch, identity: str, room: int
) -> None:
    monkeypatch.setattr(index, "_KEPT", Kept(room))
    data, memo = chain(12_000, 0), MemoryMemo()
    few = Limits(pages=10_000)
    first, again = Named(data, identity), Named(data, identity)
    for source in (first, again):
        error = refused(source, PlainContext(memo=memo, limits=few))
        assert isinstance(error, TooLarge)
    assert again.trips == 0 < first.trips
    # The limit of another day counts anew.
    assert TiffFile.open(Named(data, identity), PlainContext(memo=memo)).layers == 12_000
