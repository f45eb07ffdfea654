"""What the cache may believe of a site that tells whole seconds."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
