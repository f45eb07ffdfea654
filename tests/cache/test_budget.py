"""Budget: the limits hold, the least used goes first, and nobody who reads is disturbed."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.key import Key
from tests.cache.origin import Origin, content, never

SIZE = 100_000
DATA = content("budget", SIZE)


def fill(cache: BlockCache, path: str, age_seconds: float = 0) -> None:
    with cache.open(Key("m", path, "1"), SIZE) as file:
        file.read_at(0, SIZE, Origin(DATA).fetch)
        fd = file.fileno()
        if fd is not None:
            os.utime(fd, (time.time() - age_seconds,) * 2)


def kept(cache: BlockCache, *paths: str) -> list[str]:
    found = []
    for path in paths:
        with cache.open(Key("m", path, "1"), SIZE) as file:
            if file.span(0) == SIZE:
                found.append(path)
    return found


def test_the_least_used_goes_first(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(max_bytes=600_000, free_bytes=0))
    for number in range(5):
        fill(cache, f"f{number}", age_seconds=1000 - number)
    cache.sweep()
    with cache.open(Key("m", "f0", "1"), SIZE) as file:
        file.read_at(0, 1, never)
    fill(cache, "more")
    swept = cache.sweep()
    assert swept.size <= 540_000
    assert swept.removed_files == 1
    assert kept(cache, "f0", "f1", "f2", "f3", "f4") == ["f0", "f2", "f3", "f4"]


def test_a_use_is_noted_once_a_minute_whoever_opens_it(cache: BlockCache) -> None:
    """To note it costs as much as a small read: not at each opening."""
    key = Key("m", "f", "1")

    def used_at(age_seconds: float) -> tuple[float, float]:
        """Return when it counts as used before and after a read."""
        fill(cache, "f", age_seconds)
        with cache.open(key, SIZE) as file:
            fd = file.fileno()
            assert fd is not None
            before = os.fstat(fd).st_mtime
            file.read_at(0, 1, never)
            return before, os.fstat(fd).st_mtime

    before, after = used_at(30)
    assert before == after
    before, after = used_at(70)
    assert before + 69 < after
    before, after = used_at(-1000)  # a clock that was set back
    assert after + 900 < before


def test_what_was_not_used_for_too_long_goes(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(max_age_seconds=100, free_bytes=0))
    fill(cache, "old", 200)
    fill(cache, "new", 50)
    cache.sweep()
    assert kept(cache, "old", "new") == ["new"]


def test_room_on_the_disk_is_given_back(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(free_bytes=0))
    fill(cache, "f")
    other = make(limits=Limits(free_bytes=1 << 60))
    swept = other.sweep()
    assert (swept.files, swept.size) == (0, 0)


def test_a_pin_keeps_a_path_and_all_below(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(max_age_seconds=100, free_bytes=0))
    for path in ("a/b", "a/c/d", "ab"):
        fill(cache, path, 200)
    cache.pin("m", "a")
    cache.sweep()
    assert kept(cache, "a/b", "a/c/d", "ab") == ["a/b", "a/c/d"]
    assert cache.index.pins() == [("m", "a")]
    assert cache.unpin("m", "a")
    assert not cache.unpin("m", "a")
    cache.sweep()
    assert kept(cache, "a/b", "a/c/d") == []


def test_a_file_in_use_is_skipped_by_every_process_s_sweep(
    make: Callable[..., BlockCache],
) -> None:
    cache = make(limits=Limits(max_bytes=1, free_bytes=0))
    big = make(limits=Limits(free_bytes=0))
    fill(big, "used", 1000)
    fill(big, "idle", 10)
    with big.open(Key("m", "used", "1"), SIZE) as file:
        # A sweep opens what it looks at, so it is as another process's.
        cache.sweep()
        assert file.read_at(0, SIZE, never) == DATA
        assert kept(big, "used", "idle") == ["used"]
    cache.sweep()
    assert kept(big, "used") == []


def test_a_file_larger_than_the_limit_is_read_to_its_end(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(max_bytes=200_000, free_bytes=0))
    data = content("large", 1_000_000)
    origin = Origin(data)
    with cache.open(Key("m", "large", "1"), len(data)) as file:
        assert b"".join(file.stream(0, len(data), origin.fetch)) == data
        swept = cache.sweep()
        assert 100_000 < swept.size < 300_000
        assert b"".join(file.stream(0, len(data), origin.fetch)) == data


def test_readers_never_notice_eviction(make: Callable[..., BlockCache]) -> None:
    """Files are evicted by hand and by limits while eight threads read them."""
    cache = make(limits=Limits(max_bytes=250_000, free_bytes=0))
    datas = {f"f{n}": content(f"f{n}", SIZE) for n in range(6)}
    stop = threading.Event()
    wrong: list[object] = []

    def read(number: int) -> None:
        turn = number
        try:
            while not stop.is_set():
                turn += 1
                path = f"f{turn % 6}"
                with cache.open(Key("m", path, "1"), SIZE) as file:
                    offset = turn * 7919 % SIZE
                    got = file.read_at(offset, 30_000, Origin(datas[path]).fetch)
                    if got != datas[path][offset : offset + 30_000]:
                        wrong.append((path, offset))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 2
    while time.monotonic() < until:
        cache.sweep()
        cache.evict("m", "f3")
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    swept = cache.sweep()
    assert swept.size <= 250_000


def test_the_background_sweep_keeps_the_limit(make: Callable[..., BlockCache]) -> None:
    cache = make(limits=Limits(max_bytes=300_000, free_bytes=0))
    until = time.monotonic() + 10
    number = 0
    while time.monotonic() < until and number < 40:
        number += 1
        fill(cache, f"f{number}")
        time.sleep(0.1)
    used = sum(
        p.stat().st_blocks * 512 for p in (cache._folder / "blocks").rglob("*-*") if p.is_file()
    )
    assert used < 450_000
    assert number == 40


def test_what_a_killed_process_left_half_made_goes(cache: BlockCache) -> None:
    fill(cache, "f")
    place: Path = next(p for p in (cache._folder / "blocks").rglob("*-*") if p.is_file())
    for name, age in (("new-1", 7200), ("new-2", 0)):
        place.with_name(name).write_bytes(b"half")
        os.utime(place.with_name(name), (time.time() - age,) * 2)
    cache.sweep()
    assert sorted(p.name for p in place.parent.iterdir()) == sorted(["new-2", place.name])
