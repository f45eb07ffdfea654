"""Several processes share one cache of a store; they are killed, and no byte is wrong."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers.cached import CachedProvider
from providers.errors import NotFound
from providers.local import LocalOptions, LocalProvider
from providers.testing.harness import get, names, put
from tests.providers.sharing_reader import SIZE
from tests.providers.watched import Watched, content

KILLS = 12
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c", "d"):
        (root / name).write_bytes(content(name, SIZE))
    return root


def start(root: Path, folder: Path, seed: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.providers.sharing_reader", str(root), str(folder)]
    return subprocess.Popen([*argv, str(seed)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def stop(process: subprocess.Popen[str]) -> str:
    """Kill it; return what it had to tell, "" if nothing was wrong."""
    process.kill()
    told, _ = process.communicate(timeout=20)
    return told.replace("ready\n", "")


@pytest.mark.timeout(100)
def test_kills_leave_right_bytes(root: Path, tmp_path: Path) -> None:
    """Readers of one cache are killed at random moments, again and again, while it is emptied."""
    chance = random.Random(7)
    folder = tmp_path / "cache"
    lasting = start(root, folder, 1)
    try:
        with BlockCache(folder, Limits(free_bytes=0), block_bytes=4096) as blocks:
            for number in range(KILLS):
                process = start(root, folder, 100 + number)
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                time.sleep(chance.uniform(0, 0.4))
                assert stop(process) == ""
                blocks.evict("m", chance.choice("abcd"))
        assert lasting.poll() is None
    finally:
        assert stop(lasting) == ""
    with BlockCache(folder, Limits(free_bytes=0), block_bytes=4096) as blocks:
        # The store that the killed ones read: with another of the same files, a file that is in the
        # cache by half has Changed, as its other half is of another version.
        origin = LocalProvider(LocalOptions(root=root))
        with closing(CachedProvider(origin, blocks, Listings(blocks.database), "m")) as store:
            for name in ("a", "b", "c", "d"):
                assert get(store, name) == content(name, SIZE)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[CachedProvider, CachedProvider, Watched]]:
    """Return two caches of one store over one folder, as two processes would have them."""
    origin = Watched()
    both = [BlockCache(tmp_path / "cache", Limits(free_bytes=0)) for _ in range(2)]
    first, second = (
        CachedProvider(origin, blocks, Listings(blocks.database), "m") for blocks in both
    )
    yield first, second, origin
    for blocks in both:
        blocks.close()


def test_what_one_knows_the_other_knows(
    two: tuple[CachedProvider, CachedProvider, Watched],
) -> None:
    first, second, origin = two
    put(origin.inner, "f", content(1, SIZE))
    assert names(first) == {"f"}
    assert get(first, "f") == content(1, SIZE)
    origin.take()
    assert names(second) == {"f"}
    assert get(second, "f") == content(1, SIZE)
    assert origin.take() == {}


def test_a_change_through_one_shows_in_the_other_at_once(
    two: tuple[CachedProvider, CachedProvider, Watched],
) -> None:
    first, second, _ = two
    put(first, "f", content(1, SIZE))
    assert get(second, "f") == content(1, SIZE)
    put(first, "f", content(2, 10))
    assert get(second, "f") == content(2, 10)
    assert names(second) == {"f"}
    first.mkdir("d")
    first.rename("f", "d/g")
    assert names(second) == {"d"}
    assert names(second, "d") == {"g"}
    assert get(second, "d/g") == content(2, 10)
    first.remove("d/g")
    with pytest.raises(NotFound):
        second.open("d/g")
    second.rmdir("d")
    with pytest.raises(NotFound):
        first.stat("d")
