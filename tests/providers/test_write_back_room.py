"""Too little room, several gateways, a damaged journal: nothing that was accepted is lost."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.errors import JournalError
from cache.journal import Journal
from cache.room import RoomLimits
from providers.base import Entry
from providers.errors import (
    NoSpace,
    NotFound,
    StorageError,
    Unavailable,
)
from providers.memory import MemoryProvider
from providers.testing.content import signed
from providers.testing.harness import get, names, put, together
from providers.wrap import FaultProvider
from providers.write_back import WriteBackProvider

Make = Callable[..., WriteBackProvider]


def test_writers_wait_for_room(make: Make, memory: MemoryProvider) -> None:
    """While the uploads make room a writer waits; if they do not, it is told to come back."""
    fault = FaultProvider(memory)
    limits = RoomLimits(pending_bytes=3_000_000, free_bytes=0, wait_seconds=1.0)
    store = make(fault, limits)
    for number in range(6):
        put(store, f"{number}", signed(2_000_000, number))
    assert store.flush(seconds=10)
    fault.fail("commit", Unavailable)
    put(store, "taken", signed(2_000_000))
    begin = time.monotonic()
    with pytest.raises(NoSpace) as caught:
        put(store, "refused", signed(2_000_000))
    assert 0.9 < time.monotonic() - begin < 5
    assert caught.value.temporary
    with pytest.raises(NoSpace) as caught:
        store.create("too large", size_hint=4_000_000)
    assert not caught.value.temporary
    fault.heal()
    assert store.flush(seconds=10)
    assert get(memory, "taken") == signed(2_000_000)
    with pytest.raises(NotFound):
        store.stat("refused")
    put(store, "refused", signed(2_000_000))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "headgate-test", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small tmpfs")
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mount -t tmpfs is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_nothing(make: Make, small_disk: Path, memory: MemoryProvider) -> None:
    """Writers are refused when it is full; all that was acknowledged arrives, whole."""
    fault = FaultProvider(memory)
    limits = RoomLimits(pending_bytes=1 << 30, free_bytes=0, wait_seconds=0.2)
    store = make(fault, limits, small_disk / "journal")
    fault.fail("commit", Unavailable)
    accepted = {}
    refused = 0
    for number in range(40):
        try:
            put(store, f"{number}", signed(200_000, number))
            accepted[f"{number}"] = signed(200_000, number)
        except NoSpace:
            refused += 1
    assert accepted
    assert refused
    # Somebody else takes the very last of it.
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(small_disk).f_bavail == 0
    for number in range(100, 110):
        with pytest.raises((NoSpace, Unavailable)):
            put(store, f"{number}", b"x" * 10_000)
    fault.heal()
    assert store.flush(seconds=20)
    assert {name: get(memory, name) for name in names(memory) - {"folder"}} == accepted
    assert {name: get(store, name) for name in accepted} == accepted


def test_writers_of_one_version_in_two_gateways(make: Make, memory: MemoryProvider) -> None:
    """Of two gateways on one journal that expect one version, or nothing, one wins."""
    one, two = make(), make()
    for turn in range(20):
        gate = threading.Barrier(2)

        def work(number: int, turn: int = turn, gate: threading.Barrier = gate) -> Entry:
            with (one, two)[number].create(f"{turn}", overwrite=False) as writer:
                gate.wait(timeout=10)
                return writer.commit()

        results = together(2, work)
        assert sorted(type(result).__name__ for result in results) == ["AlreadyExists", "Entry"]
        assert one.stat(f"{turn}") == two.stat(f"{turn}")
    one.close()
    assert two.flush(seconds=10)
    assert two.journal.conflicts() == []


def test_a_journal_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="Not a directory"):
        Journal(tmp_path / "file" / "journal")


def test_a_journal_that_is_damaged_is_kept(make: Make, tmp_path: Path) -> None:
    """It is never replaced: what is in it may be all there is."""
    store = make()
    put(store, "file", b"x")
    assert store.flush(seconds=10)
    store.close()
    file = tmp_path / "journal" / "journal.db"
    file.write_bytes(b"damaged" * 1000)
    for companion in ("-wal", "-shm"):
        file.with_name(file.name + companion).unlink(missing_ok=True)
    store = make()
    with pytest.raises(StorageError):
        put(store, "file", b"y")
    store.close()
    assert file.read_bytes() == b"damaged" * 1000
