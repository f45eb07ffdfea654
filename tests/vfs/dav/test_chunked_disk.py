"""The disk beneath uploads in parts: full, or holding what clients have forgotten."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import Site
from vfs.dav import parts
from vfs.dav.parts import Parts
from vfs.dav.sweeper import IDLE_SECONDS, Sweeper

UPLOAD = "/remote.php/dav/uploads/ann/id"
HOUR_NS = 3600 * 10**9


@pytest.fixture
def clock() -> list[int]:
    return [time.time_ns()]


@pytest.fixture
def site(tmp_path: Path, clock: list[int]) -> Iterator[Site]:
    site = Site(tmp_path, {"/m": MemoryProvider(MemoryOptions())}, now_ns=lambda: clock[0])
    yield site
    site.store.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse to write beyond `size`, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_part_that_does_not_fit_is_refused_and_gone(site: Site, tmp_path: Path) -> None:
    assert site("MKCOL", UPLOAD).status == 201
    with files_of_at_most(1 << 20):
        answer = site("PUT", f"{UPLOAD}/1", bytes(3 << 20))
    assert answer.status == 507
    assert b"free some space there, or send the file in one PUT" in answer.body
    assert str(tmp_path).encode() not in answer.body
    assert len(list((tmp_path / "uploads").rglob("*"))) == 1
    assert site("PUT", f"{UPLOAD}/1", bytes(3 << 20)).status == 201


def test_uploads_leave_room_on_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state store lies on the same disk, so uploads may not fill it to the last byte."""
    assert site("MKCOL", UPLOAD).status == 201
    space = os.statvfs("/")
    assert site("MKCOL", f"{UPLOAD}2", OC_Total_Length=str(10**17)).status == 507
    monkeypatch.setattr(parts, "RESERVE_BYTES", space.f_blocks * space.f_frsize * 1000)
    assert site("PUT", f"{UPLOAD}/1", b"x").status == 507


def test_what_took_no_part_for_a_day_is_swept(site: Site, tmp_path: Path, clock: list[int]) -> None:
    swept, kept = f"{UPLOAD}-old", f"{UPLOAD}-new"
    for upload in (swept, kept):
        assert site("MKCOL", upload).status == 201
    clock[0] += 20 * HOUR_NS
    assert site("PUT", f"{kept}/1", b"x").status == 201
    clock[0] += 5 * HOUR_NS
    orphan = tmp_path / "uploads" / "orphan"
    orphan.mkdir()
    past = time.time() - 2 * IDLE_SECONDS - 60
    os.utime(orphan, (past, past))
    sweeper = Sweeper(Parts(site.store, tmp_path / "uploads"), tmp_path / "sweep.lock")
    sweeper.start()
    sweeper.close()
    assert site("PROPFIND", swept, Depth="1").status == 404
    assert site("MOVE", f"{kept}/.file", Destination="/m/f").status == 201
    assert list((tmp_path / "uploads").iterdir()) == []
