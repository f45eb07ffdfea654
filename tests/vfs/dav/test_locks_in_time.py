"""Locks that run out, and locks that are granted while another request is under way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers.base import Writer
from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import Site, members

# 6.6: time


class _Clock:
    ns = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def timed(tmp_path: Path, clock: _Clock) -> Iterator[Site]:
    site = Site(tmp_path, {"/a": MemoryProvider(MemoryOptions())}, now_ns=clock)
    yield site
    site.store.close()


def test_a_lock_ends_by_its_time_and_its_token_with_it(timed: Site, clock: _Clock) -> None:
    timed.put("/a/f")
    token = timed.lock("/a/f", Timeout="Second-10")
    clock.ns += 11 * 10**9
    assert timed("PUT", "/a/f", "x", If=f"({token})").status == 412
    assert timed("LOCK", "/a/f", If=f"({token})").status == 412
    assert timed("UNLOCK", "/a/f", Lock_Token=token).status == 409
    assert timed("PUT", "/a/f", "x").status == 204


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("", 3600),
        ("Second-5", 5),
        ("second-5, Infinite", 5),
        ("Extend 7, Second-9", 9),
        ("Infinite", 86400),
        ("Second-4294967296", 86400),
        ("Second-0", 1),
        ("Second--1", 3600),
        ("Second-99999999999999", 3600),
    ],
)
def test_the_time_that_is_granted(site: Site, wish: str, seconds: int) -> None:
    answer = site.try_lock("/a/f", Timeout=wish)
    assert f"<D:timeout>Second-{seconds}</D:timeout>".encode() in answer.body


# Locks that are granted while another request is under way


class _Slow(MemoryProvider):
    """Calls `meanwhile` once, when the first file of a kind of step is begun."""

    meanwhile: Callable[[], object] | None = None

    def _pause(self) -> None:
        call, self.meanwhile = self.meanwhile, None
        if call is not None:
            call()

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        writer = super().create(path, overwrite=overwrite, expect=expect, size_hint=size_hint)
        self._pause()
        return writer

    def remove(self, path: str, *, expect: str | None = None) -> None:
        super().remove(path, expect=expect)
        self._pause()


@pytest.fixture
def slow() -> _Slow:
    return _Slow(MemoryOptions())


@pytest.fixture
def slow_site(tmp_path: Path, slow: _Slow) -> Iterator[Site]:
    site = Site(tmp_path, {"/a": slow, "/b": MemoryProvider(MemoryOptions())})
    yield site
    site.store.close()


@pytest.mark.parametrize("name", ["f", "new"])
def test_an_upload_yields_to_a_lock_that_was_granted_meanwhile(
    slow_site: Site, slow: _Slow, name: str
) -> None:
    """Else the holder of the lock would work on what is no longer there."""
    slow_site.put("/a/f", b"old")
    slow.meanwhile = lambda: slow_site.lock(f"/a/{name}", user="bob")
    assert slow_site("PUT", f"/a/{name}", "mine", user="ann").status == 423
    assert slow_site("GET", f"/a/{name}").body == (b"old" if name == "f" else b"")


def test_an_upload_ends_well_though_its_own_lock_ran_out(timed: Site, clock: _Clock) -> None:
    """Nobody else has a lock, so nobody is hurt."""
    timed.put("/a/f")
    token = timed.lock("/a/f", Timeout="Second-10")
    provider = timed.tree.table.mounts["/a"].primary.provider
    create = provider.create

    def late(path: str, **wish: object) -> Writer:
        clock.ns += 60 * 10**9
        return create(path, **wish)  # type: ignore[arg-type] # handed through

    provider.create = late  # type: ignore[method-assign] # time passes there
    assert timed("PUT", "/a/f", "new", If=f"({token})").status == 204


def test_a_delete_spares_what_is_locked_meanwhile(slow_site: Site, slow: _Slow) -> None:
    slow_site.mkcol("/a/d", "/a/d/s")
    for name in ("1", "2", "s/1"):
        slow_site.put(f"/a/d/{name}")
    slow.meanwhile = lambda: slow_site.lock("/a/d/s/1", user="bob")
    answer = slow_site("DELETE", "/a/d", user="ann")
    assert answer.status == 207
    assert {h: m.status for h, m in members(answer).items()} == {"/a/d/s/1": 423}
    assert slow_site("GET", "/a/d/s/1").status == 200
    assert len(slow_site.store.locks_on("/a/d/s/1")) == 1


def test_a_move_across_stores_spares_a_source_that_is_locked_meanwhile(
    slow_site: Site, slow: _Slow
) -> None:
    slow_site.mkcol("/a/d")
    for name in ("1", "2"):
        slow_site.put(f"/a/d/{name}")
    slow.meanwhile = lambda: slow_site.lock("/a/d/2", user="bob")
    answer = slow_site("MOVE", "/a/d", user="ann", Destination="/b/d")
    assert {h: m.status for h, m in members(answer).items()} == {"/a/d/2": 423}
    assert slow_site("GET", "/a/d/2").status == 200
