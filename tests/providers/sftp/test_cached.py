"""What the cache may believe of a site that tells whole seconds."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.block_file import BlockFile
from cache.blocks import BlockCache
from cache.listings import Listings
from providers.cached import CachedProvider
from providers.cached_reader import CachedReader
from providers.errors import Unsupported
from providers.sftp import SftpProvider
from providers.testing.harness import get

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]

Make = Callable[..., SftpProvider]


@pytest.fixture(params=["openssh"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cached(make: Make, tmp_path: Path) -> Iterator[CachedProvider]:
    with (
        BlockCache(tmp_path / "cache") as blocks,
        contextlib.closing(CachedProvider(make(), blocks, Listings(blocks.database), "m")) as store,
    ):
        yield store


def _write(file: Path, data: bytes, second: int) -> None:
    file.write_bytes(data)
    os.utime(file, (second, second))


@pytest.mark.parametrize("ahead_seconds", [0, 3], ids=["now", "ahead"])
def test_bytes_of_these_seconds_are_not_kept(
    cached: CachedProvider, root: Path, ahead_seconds: int
) -> None:
    """A program there that writes the same size within the same second is seen at once."""
    second = int(time.time()) + ahead_seconds
    _write(root / "file", b"old" * 1000, second)
    assert get(cached, "file") == b"old" * 1000
    with pytest.raises(Unsupported):
        list(cached.warm("file"))
    _write(root / "file", b"new" * 1000, second)
    assert get(cached, "file") == b"new" * 1000


def test_bytes_of_a_settled_file_are_kept(cached: CachedProvider, root: Path) -> None:
    _write(root / "file", b"old" * 1000, int(time.time()) - 3)
    assert get(cached, "file") == b"old" * 1000
    with cached.open("file") as reader:
        assert isinstance(reader, CachedReader)
        assert reader.is_whole


def test_a_stream_is_given_at_once_and_kept_behind(
    cached: CachedProvider, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the cache's disk stands still, two readers get the whole file, fetched once."""
    data = os.urandom(12 << 20)
    _write(root / "file", data, int(time.time()) - 100)
    go_on = threading.Event()
    store = BlockFile.store

    def late(file: BlockFile, first: int, blocks: memoryview, *, straight: bool = False) -> None:
        if threading.current_thread().name == "cache-behind":
            assert go_on.wait(20)
        store(file, first, blocks, straight=straight)

    monkeypatch.setattr(BlockFile, "store", late)
    with cached.open("file") as reader:
        assert reader.read_at(0, 100_000) == data[:100_000]
        came = reader.read_at(100_000, 50_000)
        came += b"".join(map(bytes, reader.pieces(150_000, len(data))))
        assert came == data[100_000:]
    with cached.open("file") as again:
        assert b"".join(map(bytes, again.pieces(0, len(data)))) == data
        assert isinstance(again, CachedReader)
        assert again.fileno() is None
        (root / "file").unlink()
        go_on.set()
        end = time.monotonic() + 20
        while not again.is_whole:
            assert time.monotonic() < end
            time.sleep(0.005)
        assert b"".join(map(bytes, again.pieces(0, len(data)))) == data
