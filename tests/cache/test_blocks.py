"""Blocks: what was read once comes from disk, and always the right bytes."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.errors import Closed, WrongLength
from cache.key import Key
from tests.cache.origin import Origin, content, never

KEY = Key("m", "folder/file", "1")
SIZE = 50_000
DATA = content("file", SIZE)


def given(data: bytes, offset: int, size: int) -> bytes:
    return data


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "blocks").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1), (1023, 2), (0, SIZE), (49_999, 10), (SIZE, 5), (3000, 20_000)]
)
def test_a_read_gives_the_file_s_bytes_twice(cache: BlockCache, offset: int, size: int) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(offset, size, origin.fetch) == DATA[offset : offset + size]
        asked = len(origin.asked)
        assert file.read_at(offset, size, origin.pieces) == DATA[offset : offset + size]
        assert len(origin.asked) == asked


def test_pieces_of_any_size_become_blocks(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        assert b"".join(file.stream(5, SIZE, origin.pieces)) == DATA[5:]
        assert file.span(0) == SIZE


def test_what_was_read_is_there_after_a_restart(make: Callable[..., BlockCache]) -> None:
    origin = Origin(DATA)
    first = make()
    with first.open(KEY, SIZE) as file:
        file.read_at(0, SIZE, origin.fetch)
    first.close()
    with make().open(KEY, SIZE) as file:
        assert file.span(0) == SIZE
        assert file.read_at(0, SIZE, never) == DATA


@pytest.mark.parametrize("gap", [0, 1, 700, 1099])
def test_records_are_looked_up_past_a_page_of_them(
    make: Callable[..., BlockCache], gap: int
) -> None:
    """Of a file with 1,100 blocks one is missing: all before it, and all behind it, are there."""
    data = content("long", 1100 * 1024)
    origin, first = Origin(data), make()
    with first.open(KEY, len(data)) as file:
        for start, stop in ((0, gap), (gap + 1, 1100)):
            if stop > start:
                file.read_at(start * 1024, (stop - start) * 1024, origin.fetch)
    first.close()
    with make().open(KEY, len(data)) as file:
        assert file.span(0) == gap * 1024
        assert file.span(gap * 1024) == 0
        assert file.span((gap + 1) * 1024) == (1099 - gap) * 1024
        origin.asked.clear()
        assert file.read_at(0, len(data), origin.fetch) == data
    assert origin.asked == [(gap * 1024, 1024)]


def test_only_missing_blocks_are_fetched(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        file.read_at(2048, 1, origin.fetch)
        file.read_at(0, 8192, origin.fetch)
    assert sorted(origin.asked) == [(0, 2048), (2048, 1024), (3072, 5120)]


def test_the_descriptor_gives_what_the_span_says(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        assert file.fileno() is None
        file.read_at(1024, 4096, origin.fetch)
        assert file.span(0) == 0
        assert file.span(1500) == 5120 - 1500
        descriptor = file.fileno()
        assert descriptor is not None
        assert os.pread(descriptor, 3620, 1500) == DATA[1500:5120]


def test_versions_and_sizes_are_never_mixed(cache: BlockCache) -> None:
    new = content("new", SIZE)
    with cache.open(KEY, SIZE) as old:
        old.read_at(0, SIZE, Origin(DATA).fetch)
        with cache.open(Key("m", "folder/file", "2"), SIZE) as file:
            assert file.span(0) == 0
            assert file.read_at(0, SIZE, Origin(new).fetch) == new
        # Its file is gone from the folder, since a newer version came; who reads it reads on.
        assert old.read_at(0, SIZE, never) == DATA
    assert len(files(cache._folder)) == 1
    with cache.open(Key("m", "folder/file", "2"), SIZE - 1) as other:
        assert other.span(0) == 0


def test_a_file_under_a_wrong_name_is_not_believed(cache: BlockCache) -> None:
    other = Key("m", "other", "1")
    for key, data in ((KEY, DATA), (other, content("other", SIZE))):
        with cache.open(key, SIZE) as file:
            file.read_at(0, SIZE, Origin(data).fetch)
    names = [cache._folder / "blocks" / k.names()[0] / k.names()[1][:2] for k in (KEY, other)]
    one, two = (next(name.iterdir()) for name in names)
    one.replace(two)
    with cache.open(other, SIZE) as file:
        assert file.read_at(0, SIZE, Origin(content("other", SIZE)).fetch) == content("other", SIZE)


@pytest.mark.parametrize("damage", [b"", b"x", b"HGB1" * 100, os.urandom(3000)])
def test_a_damaged_file_is_made_anew(cache: BlockCache, damage: bytes) -> None:
    with cache.open(KEY, SIZE) as file:
        file.read_at(0, SIZE, Origin(DATA).fetch)
    files(cache._folder)[0].write_bytes(damage)
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(0, SIZE, Origin(DATA).fetch) == DATA
        assert file.span(0) == SIZE


def test_a_torn_block_is_found_after_a_crash_and_fetched_again(
    make: Callable[..., BlockCache],
) -> None:
    before = make(boot="one")
    with before.open(KEY, SIZE) as file:
        file.read_at(0, SIZE, Origin(DATA).fetch)
    place = files(before._folder)[0]
    before.close()
    with place.open("r+b") as torn:
        torn.seek(9300)
        torn.write(bytes(500))
    after = make(boot="two")
    origin = Origin(DATA)
    with after.open(KEY, SIZE) as file:
        assert file.span(0) == 9 * 1024
        assert file.read_at(0, SIZE, origin.fetch) == DATA
    assert origin.asked == [(9 * 1024, 1024)]
    assert after.stat().mounts["m"]["torn_blocks"] >= 1
    after.close()
    # What was verified once is not verified again in the same run of the machine.
    again = make(boot="two")
    with again.open(KEY, SIZE) as file:
        assert file.span(0) == SIZE


def test_a_short_or_long_answer_is_an_error_and_not_kept(cache: BlockCache) -> None:
    with cache.open(KEY, SIZE) as file:
        for wrong in (DATA[:500], DATA[:1025], b""):
            with pytest.raises(WrongLength):
                file.read_at(0, 1024, partial(given, wrong))
        assert file.span(0) == 0
        assert file.read_at(0, 1024, Origin(DATA).fetch) == DATA[:1024]


def test_the_error_of_a_fetch_is_the_reader_s(cache: BlockCache) -> None:
    origin = Origin(DATA)
    origin.error = TimeoutError("gone")
    with cache.open(KEY, SIZE) as file:
        with pytest.raises(TimeoutError, match="gone"):
            file.read_at(0, SIZE, origin.fetch)
        origin.error = None
        assert file.read_at(0, SIZE, origin.fetch) == DATA


def test_a_stream_fetches_ahead_in_parallel(make: Callable[..., BlockCache]) -> None:
    cache = make(parallel=4)
    origin = Origin(DATA, delay_seconds=0.1)
    with cache.open(KEY, SIZE) as file:
        assert b"".join(file.stream(0, SIZE, origin.fetch)) == DATA
    assert len(origin.asked) == 7
    assert 3 <= origin.most_at_once <= 4
    assert origin.asked_bytes() == SIZE


def test_a_reader_that_leaves_lets_the_others_go_on(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        stream = file.stream(0, SIZE, origin.pieces)
        next(stream)
        stream.close()
        assert file.read_at(0, SIZE, origin.fetch) == DATA


def test_after_close_nothing_is_fetched(cache: BlockCache) -> None:
    origin = Origin(DATA, delay_seconds=0.05)
    file = cache.open(KEY, SIZE)
    file.read_ahead(0, SIZE, origin.fetch)
    file.close()
    asked = len(origin.asked)
    time.sleep(0.2)
    assert len(origin.asked) == asked
    with pytest.raises(Closed):
        file.read_at(0, 1, origin.fetch)
    file.close()


def test_reading_ahead_needs_no_reader(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        file.read_ahead(0, 20_000, origin.fetch)
        until = time.monotonic() + 5
        while file.span(0) < 20_000 and time.monotonic() < until:
            time.sleep(0.01)
        assert file.read_at(0, 20_000, never) == DATA[:20_000]


def test_warming_fetches_all_of_it(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        progress = list(file.warm(origin.fetch))
        assert progress[-1] == SIZE
        assert file.span(0) == SIZE
    assert origin.asked_bytes() == SIZE


def test_an_empty_file_needs_nothing(cache: BlockCache) -> None:
    with cache.open(KEY, 0) as file:
        assert file.read_at(0, 10, never) == b""
        assert list(file.warm(never)) == []


def test_sixteen_threads_fetch_each_block_once(cache: BlockCache) -> None:
    origin = Origin(DATA, delay_seconds=0.02)
    wrong: list[int] = []
    with cache.open(KEY, SIZE) as file:

        def read(at: int) -> None:
            wrong.extend(
                offset
                for offset in range(at * 512, SIZE, 4096)
                if file.read_at(offset, 5000, origin.fetch) != DATA[offset : offset + 5000]
            )

        threads = [threading.Thread(target=read, args=(at,)) for at in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert origin.asked_bytes() == SIZE


def test_a_failed_fetch_ends_the_wait_of_all(cache: BlockCache) -> None:
    origin = Origin(DATA, delay_seconds=0.1)
    origin.error = TimeoutError("gone")
    failed: list[Exception] = []
    with cache.open(KEY, SIZE) as file:

        def read() -> None:
            try:
                file.read_at(0, 100, origin.fetch)
            except TimeoutError as error:
                failed.append(error)

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(failed) == 16
    assert len({id(error) for error in failed}) == 16
    assert len(origin.asked) <= 4


def test_hits_and_misses_are_counted(cache: BlockCache) -> None:
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        for _ in range(3):
            file.read_at(0, 100, origin.fetch)
    found = cache.stat()
    assert found.files == 1
    assert found.mounts["m"]["hits"] == 2
    assert found.mounts["m"]["misses"] == 1
    assert found.mounts["m"]["served_bytes"] == 300
    assert found.mounts["m"]["fetched_bytes"] == 1024


def test_eviction_takes_a_path_and_what_is_below(cache: BlockCache) -> None:
    for path in ("a", "a/b", "ab", "c"):
        with cache.open(Key("m", path, "1"), SIZE) as file:
            file.read_at(0, 1, Origin(DATA).fetch)
    assert cache.evict("other").removed_files == 0
    assert cache.evict("m", "a").removed_files == 2
    assert cache.stat().files == 2
    assert cache.evict("m").removed_files == 2


@pytest.mark.parametrize("mount", ["", ".", "..", "/data/x y", "ä" * 300, "\udcff", "m%2F"])
def test_any_name_of_a_mount_serves(cache: BlockCache, mount: str) -> None:
    key = Key(mount, "p/\udc80", "v")
    with cache.open(key, SIZE) as file:
        assert file.read_at(0, 10, Origin(DATA).fetch) == DATA[:10]
    assert cache.stat().mounts[mount]["files"] == 1
    assert cache.evict(mount, "p").removed_files == 1


def test_nobody_else_may_look_into_the_folder(cache: BlockCache) -> None:
    with cache.open(KEY, SIZE) as file:
        file.read_at(0, 1, Origin(DATA).fetch)
    cache.stat()
    for place in (cache._folder, *cache._folder.rglob("*")):
        assert place.stat().st_mode & 0o077 == 0, place
