"""A cache on a disk that is full hinders no read and no change."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers.cached import CachedProvider
from providers.errors import NotFound
from providers.testing.harness import get, names, put
from tests.providers.watched import Watched, content

SIZE = 700_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "headgate-test", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small tmpfs")
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mount -t tmpfs is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.logs("the cache cannot be written|listings cannot be kept")
def test_a_full_disk_hinders_nothing(small_disk: Path) -> None:
    """Blocks, entries and listings pass through; own changes show at once."""
    origin = Watched()
    with BlockCache(small_disk / "cache", Limits(free_bytes=0)) as blocks:
        cached = CachedProvider(origin, blocks, Listings(blocks.database), "m", ttl_seconds=3600)
        for number in range(4):
            put(cached, f"{number}", content(number, SIZE))
            assert get(cached, f"{number}") == content(number, SIZE)
        assert blocks.fault() == "No space left on device"
        _fill(small_disk / "filler")
        for number in range(4):
            assert get(cached, f"{number}") == content(number, SIZE)
            assert names(cached) == {"0", "1", "2", "3"}
        for number in range(4):
            put(cached, f"{number}", content(-number, 1000))
            assert get(cached, f"{number}") == content(-number, 1000)
            assert cached.stat(f"{number}").size == 1000
        cached.remove("0")
        with pytest.raises(NotFound):
            cached.stat("0")
        assert names(cached) == {"1", "2", "3"}


def _fill(place: Path) -> None:
    """Take every byte that is left."""
    filler = os.open(place, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(filler)
