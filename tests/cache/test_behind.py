"""Writing behind the reader: nothing is fetched twice, nobody waits for the disk."""

import os
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cache.behind import Behind
from cache.block_file import BlockFile
from cache.blocks import BlockCache
from cache.key import Key
from tests.cache.origin import Origin, content, never

SIZE = 8 << 20
DATA = content("behind", SIZE)
KEY = Key("m", "f", "1")
STEP = 64 << 10


class Gate:
    """Lets the disk wait: each write behind a reader passes only while the gate is open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.straight: list[bool] = []
        store = BlockFile.store

        def late(file: BlockFile, first: int, data: memoryview, *, straight: bool = False) -> None:
            if threading.current_thread().name == "cache-behind":
                assert self.open.wait(20)
                self.straight.append(straight)
            store(file, first, data, straight=straight)

        monkeypatch.setattr(BlockFile, "store", late)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def large(make: Callable[..., BlockCache]) -> BlockCache:
    """Return a cache with blocks as in real life."""
    return make(block_bytes=STEP, fetch_bytes=4 << 20)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_what_is_taken_is_written_in_order() -> None:
    behind = Behind(1000)
    chance = random.Random(5)
    wanted: list[int] = []
    done: list[int] = []
    refused = 0
    for number in range(3000):
        pause = 0.0005 if number % 7 == 0 else 0

        def write(number: int = number, pause: float = pause) -> None:
            time.sleep(pause)
            done.append(number)

        if behind.take(chance.randrange(1, 300), write):
            wanted.append(number)
        else:
            refused += 1
            time.sleep(0.0002)
        if number % 5 == 0:
            behind.then(partial(done.append, -number))
            wanted.append(-number)
    behind.close()
    assert done == wanted
    assert refused
    assert len(wanted) > 1000


def test_more_than_may_wait_is_refused_and_so_is_all_after_its_end() -> None:
    behind = Behind(4000)
    ran: list[str] = []
    assert not behind.has_room(4001)
    assert not behind.take(4001, lambda: None)
    assert behind.take(4000, lambda: ran.append("written"))
    behind.close()
    assert not behind.has_room(1)
    assert not behind.take(1, lambda: None)
    behind.then(lambda: ran.append("then"))
    assert ran == ["written", "then"]


@pytest.mark.logs("could not be kept")
def test_one_failed_write_hinders_no_other(caplog: pytest.LogCaptureFixture) -> None:
    behind = Behind()
    ran: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    assert behind.take(1, fail)
    assert behind.take(1, lambda: ran.append(1))
    behind.close()
    assert ran == [1]
    assert "could not be kept" in caplog.text


def test_a_reader_does_not_wait_for_the_disk(large: BlockCache, gate: Gate) -> None:
    origin = Origin(DATA)
    with large.open(KEY, SIZE) as file:
        assert file.read_at(0, SIZE, origin.fetch, behind=True) == DATA
        assert file.span(0) == 0
        gate.open.set()
        until(lambda: file.span(0) == SIZE)
    with large.open(KEY, SIZE) as file:
        assert file.read_at(0, SIZE, never) == DATA
    assert all(gate.straight)


def test_others_get_what_waits_to_be_written_and_fetch_nothing(
    large: BlockCache, gate: Gate
) -> None:
    origin = Origin(DATA)
    with large.open(KEY, SIZE) as first, large.open(KEY, SIZE) as second:
        # Reads that begin and end within blocks: what is fetched is still no byte twice.
        for at in range(0, SIZE, 200_000):
            assert first.read_at(at, 200_000, origin.fetch, behind=True) == DATA[at : at + 200_000]
        assert origin.asked_bytes() == SIZE
        assert second.read_at(1000, 5000, never) == DATA[1000:6000]
        assert second.read_at(SIZE // 2, SIZE, never, behind=True) == DATA[SIZE // 2 :]
        starts = [offset for offset, _ in origin.asked]
        assert starts == sorted(starts)
    # The file is not given up before all is on disk, though nobody has it open.
    gate.open.set()
    with large.open(KEY, SIZE) as file:
        until(lambda: file.span(0) == SIZE)
        assert file.read_at(0, SIZE, never) == DATA


def test_what_finds_no_room_is_given_and_not_kept(
    make: Callable[..., BlockCache], gate: Gate
) -> None:
    cache = make(block_bytes=STEP, fetch_bytes=1 << 20)
    cache._tools.behind._most = 2 << 20
    origin = Origin(DATA)
    with cache.open(KEY, SIZE) as file:
        for at in range(0, SIZE, 100_000):
            assert file.read_at(at, 100_000, origin.fetch, behind=True) == DATA[at : at + 100_000]
        # A stream is never sent back to where a block begins.
        starts = [offset for offset, _ in origin.asked]
        assert starts == sorted(starts)
        assert origin.asked_bytes() == SIZE
        gate.open.set()
        until(lambda: file.span(0) > 1 << 20)
        assert file.span(0) < SIZE
        assert file.read_at(0, SIZE, origin.fetch) == DATA
    assert cache.stat().mounts["m"]["passed_bytes"] > SIZE // 2


def test_a_fetch_that_fails_behind_fails_for_its_reader_alone(large: BlockCache) -> None:
    origin = Origin(DATA)
    origin.error = ConnectionError("cut")
    with large.open(KEY, SIZE) as file:
        with pytest.raises(ConnectionError, match="cut"):
            file.read_at(0, STEP, origin.fetch, behind=True)
        origin.error = None
        assert file.read_at(0, STEP, origin.fetch, behind=True) == DATA[:STEP]


def test_a_cache_that_is_closed_ends_with_what_was_written(
    make: Callable[..., BlockCache], gate: Gate, tmp_path: Path
) -> None:
    cache = make(block_bytes=STEP, folder=tmp_path / "one")
    with cache.open(KEY, SIZE) as file:
        file.read_at(0, SIZE, Origin(DATA).fetch, behind=True)
    threading.Timer(0.2, gate.open.set).start()
    cache.close()
    with make(block_bytes=STEP, folder=tmp_path / "one").open(KEY, SIZE) as file:
        assert file.read_at(0, SIZE, never) == DATA


@pytest.mark.parametrize("size", [1, 4096, 4097, 3 * STEP, 3 * STEP + 4095, 3 * STEP + 1])
@pytest.mark.parametrize("offset", [0, 1])
def test_what_is_written_straight_is_what_is_read(tmp_path: Path, size: int, offset: int) -> None:
    data = content("straight", size)
    memory = memoryview(bytearray(size + offset))[offset:]  # aligned or not, it must not matter
    memory[:] = data
    made = BlockFile.create(tmp_path / "f", KEY, size, block_bytes=STEP, tag=7)
    assert made is not None
    made.store(0, memory, straight=True)
    assert made.read(0, size) == data
    made.close()
    again = BlockFile.open(tmp_path / "f", KEY, size, block_bytes=STEP, tag=8)  # another boot
    assert again is not None
    assert again.run(0, again.blocks - 1) == again.blocks
    assert again.torn == 0
    again.close()


def test_without_proc_it_is_written_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def no_proc(path: object, flags: int, *rest: object) -> int:
        if str(path).startswith("/proc"):
            raise FileNotFoundError(2, "no /proc")
        return real(path, flags, *rest)  # type: ignore[arg-type]

    made = BlockFile.create(tmp_path / "f", KEY, STEP, block_bytes=STEP, tag=7)
    assert made is not None
    monkeypatch.setattr(os, "open", no_proc)
    made.store(0, memoryview(DATA)[:STEP], straight=True)
    assert made.read(0, STEP) == DATA[:STEP]
    made.close()
