"""Disks that are full, read-only or gone: reads pass through, and are kept again later."""

import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.key import Key
from tests.cache.origin import Origin, content

SIZE = 3_000_000
DATA = content("full", SIZE)
KEY = Key("m", "f", "1")


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


def test_a_full_disk_fails_no_read(
    small_disk: Path,
    make: Callable[..., BlockCache],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    cache = make(folder=small_disk / "cache", limits=Limits(free_bytes=0))
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        for _ in range(2):
            assert b"".join(file.stream(0, SIZE, origin.pieces)) == DATA
            assert file.read_at(SIZE - 5000, 5000, origin.fetch) == DATA[-5000:]
        assert 0 < file.span(0) < SIZE
    assert cache.fault() == "No space left on device"
    assert cache.stat().mounts["m"]["passed_bytes"] > SIZE // 2
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    # After a while, with room again, it is kept again.
    cache.evict("m")
    monkeypatch.setattr(cache._budget, "_refused_until", 0.0)
    with cache.open(Key("m", "g", "1"), 5000) as file:
        assert file.read_at(0, 5000, origin.fetch) == DATA[:5000]
        assert file.span(0) == 5000
    assert cache.fault() == ""
    assert caplog.messages[-1].startswith("the cache is written again")


def test_a_limit_on_the_size_of_files_fails_no_read(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes every write beyond it fail, in a process of its own."""
    program = f"""
import resource
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, {resource.RLIM_INFINITY}))
from cache.blocks import BlockCache
from cache.key import Key
from tests.cache.origin import Origin, content
data = content("full", {SIZE})
with BlockCache(Path({str(tmp_path)!r})) as cache, cache.open(Key("m", "f", "1"), {SIZE}) as file:
    assert b"".join(file.stream(0, {SIZE}, Origin(data).fetch)) == data
    assert file.read_at(7, 100_000, Origin(data).fetch) == data[7:100_007]
    print(cache.fault())
"""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout == "File too large\n", done.stderr


def test_a_folder_that_cannot_be_made_fails_no_read(
    tmp_path: Path, make: Callable[..., BlockCache]
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = make(folder=tmp_path / "file" / "cache")
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(10, 100, origin.fetch) == DATA[10:110]
        assert b"".join(file.stream(0, SIZE, origin.pieces)) == DATA
    # Just what was asked for is fetched, since nothing of it can be kept.
    assert origin.asked[-1][0] + origin.asked[-1][1] == SIZE
    assert cache.fault() == "Not a directory"
    assert cache.evict("m").removed_files == 0
    assert cache.stat().files == 0


def test_a_read_only_disk_fails_no_read(small_disk: Path, make: Callable[..., BlockCache]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    cache = make(folder=small_disk / "cache", limits=Limits(free_bytes=0))
    with cache.open(KEY, SIZE) as file:
        assert b"".join(file.stream(0, SIZE, Origin(DATA).fetch)) == DATA
    assert cache.fault() == "Read-only file system"


def test_a_folder_deleted_under_way_is_made_again(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(0, 100_000, origin.fetch) == DATA[:100_000]
        shutil.rmtree(cache._folder)
        assert file.read_at(0, SIZE, origin.fetch) == DATA
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(0, SIZE, origin.fetch) == DATA
        assert file.span(0) == SIZE


def test_a_disk_left_with_too_little_room_is_not_filled(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(free_bytes=1 << 60))
    cache.sweep()
    assert cache.fault().startswith("less than 1152921504606846976 bytes are free")
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(0, 100, origin.fetch) == DATA[:100]
        assert origin.asked == [(0, 100)]


def test_a_file_cut_by_somebody_is_fetched_again(cache: BlockCache) -> None:
    with cache.open(KEY, SIZE) as file:
        file.read_at(0, SIZE, Origin(DATA).fetch)
        fd = file.fileno()
        assert fd is not None
        os.ftruncate(fd, 10_000)
        assert file.read_at(5000, 20_000, Origin(DATA).fetch) == DATA[5000:25_000]
        assert b"".join(file.stream(0, SIZE, Origin(DATA).fetch)) == DATA
