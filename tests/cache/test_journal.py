"""The journal: what is accepted stays, in order, for any number of processes."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.errors import JournalBusy, JournalError, JournalFull
from cache.journal import Journal
from cache.owners import Owner
from cache.pending import Pending
from cache.room import RoomLimits


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal")
    yield made
    made.close()


def _accept(journal: Journal, path: str, data: bytes, base: str | None = "") -> Pending:
    spool = journal.spool()
    spool.write_at(0, data)
    accepted = journal.accept(path, spool, base=base, look=journal.look(path))
    assert accepted is not None
    return accepted


def _content(journal: Journal, path: str) -> bytes:
    pending = journal.look(path).pending
    assert pending is not None
    descriptor = journal.open(pending)
    assert descriptor is not None
    try:
        return os.read(descriptor, 1000)
    finally:
        os.close(descriptor)


def _files(journal: Journal) -> int:
    return len(list((journal._contents.folder / "data").iterdir()))


def test_what_was_not_begun_is_superseded(journal: Journal) -> None:
    """The newer content inherits what the older one was to replace, and the older is gone."""
    old = _accept(journal, "a", b"old", base="version 1")
    new = _accept(journal, "a", b"new", base="version 2")
    assert new.base == "version 1"
    assert new.token != old.token
    assert [pending.id for pending in journal.pending()] == [new.id]
    assert _content(journal, "a") == b"new"
    assert journal.open(old) is None
    assert _files(journal) == 1


def test_what_was_begun_comes_first(journal: Journal) -> None:
    """Contents of one path go in order; the later replaces what the first one became."""
    first = _accept(journal, "a", b"1", base="v0")
    assert journal.uploads.begin(first) is not None
    second = _accept(journal, "a", b"2")
    _accept(journal, "b", b"3")
    assert [pending.path for pending in journal.uploads.ready(10)] == ["a", "b"]
    assert journal.uploads.ready(1)[0].id == first.id
    assert _content(journal, "a") == b"2"
    assert journal.uploads.settle(first, "v1", 7) is None
    (left,) = [pending for pending in journal.pending() if pending.path == "a"]
    assert (left.id, left.base) == (second.id, "v1")
    settled = journal.look("a").settled
    assert settled is not None
    assert (settled.version, settled.token) == ("v1", first.token)


def test_a_look_that_is_old_is_refused(journal: Journal) -> None:
    """What happened to a path since it was looked at has to be looked at first."""
    look = journal.look("a")
    _accept(journal, "a", b"other")
    spool = journal.spool()
    assert journal.accept("a", spool, base="", look=look) is None
    look = journal.look("a")
    with journal.holds.take("elsewhere", wait_seconds=1):
        pass
    assert journal.accept("a", spool, base="", look=look) is None
    assert journal.accept("a", spool, base="", look=journal.look("a")) is not None
    assert _content(journal, "a") == b""


def test_holds(journal: Journal, tmp_path: Path) -> None:
    """While a folder is held nothing is accepted or begun in it, by anybody."""
    other = Journal(tmp_path / "journal")
    waiting = _accept(journal, "folder/a", b"1")
    with other.holds.take("folder", wait_seconds=1):
        with pytest.raises(JournalBusy):
            _accept(journal, "folder/b", b"2")
        assert journal.uploads.begin(waiting) is None
        assert journal.holds.is_held("folder/a")
        assert not journal.holds.is_held("folder2")
        with pytest.raises(JournalBusy), journal.holds.take("folder/a/b", wait_seconds=0.05):
            pass
        with journal.holds.take("folder2", wait_seconds=0.05):
            _accept(journal, "other", b"3")
    assert journal.uploads.begin(waiting) is not None
    with pytest.raises(JournalBusy), other.holds.take("folder", wait_seconds=0.05):
        pass
    assert not journal.holds.is_held("folder")
    other.close()


def test_a_hold_dies_with_its_owner(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "journal")
    hold = other.holds.take("folder", wait_seconds=1)
    hold.__enter__()
    owner = other._contents.owner
    os.close(owner._descriptor)  # as the end of its process does
    owner._descriptor = -1
    _accept(journal, "folder/a", b"1")
    with journal.holds.take("folder", wait_seconds=1):
        pass
    hold.__exit__(None, None, None)
    other.close()


def test_a_folder_takes_along_what_is_in_it(journal: Journal) -> None:
    """Only what lies beneath it: not what is called alike."""
    for path in ("a/x", "a/b/y", "ab", "a0"):
        _accept(journal, path, path.encode())
    journal.move_folder("a", "c/d")
    assert {pending.path for pending in journal.pending()} == {"c/d/x", "c/d/b/y", "ab", "a0"}
    assert journal.members("c/d") == ["x"]
    assert journal.any_beneath("c")
    assert not journal.any_beneath("a")
    assert _content(journal, "c/d/b/y") == b"a/b/y"


def test_odd_names(journal: Journal) -> None:
    """Every name that a store may have can be pending."""
    for path in ("\udcff\udcfe", "\u00e4/\u6f22", "a%b_c", "x\ny"):
        _accept(journal, path, b"x")
        assert journal.look(path).pending is not None
    assert {pending.path for pending in journal.pending()} >= {"\udcff\udcfe", "a%b_c"}


def test_a_time_set_meanwhile(journal: Journal) -> None:
    """What is given another time while it is uploaded comes back to be given it there."""
    pending = _accept(journal, "a", b"1")
    begun = journal.uploads.begin(pending)
    assert begun is not None
    assert journal.set_mtime(pending, 5)
    again = journal.uploads.settle(begun, "v1", 9)
    assert again is not None
    assert (again.mtime_ns, again.sets_mtime) == (5, True)
    assert journal.uploads.settle(again, "v2", 5) is None
    assert not journal.set_mtime(pending, 6)


def test_one_leads(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "journal")
    assert journal.uploads.lead()
    assert journal.uploads.lead()
    assert not other.uploads.lead()
    journal.uploads.resign()
    assert other.uploads.lead()
    other.close()
    assert journal.uploads.lead()


def test_orphans_are_swept(journal: Journal, tmp_path: Path) -> None:
    """A content that nobody acknowledged goes when its writer is gone, and not before."""
    other = Journal(tmp_path / "journal")
    kept = _accept(other, "a", b"kept")
    spool = other.spool()
    spool.write_at(0, b"half")
    journal.sweep()
    assert _files(journal) == 2
    spool.close()
    other.close()
    journal.sweep()
    assert _files(journal) == 1
    assert _content(journal, "a") == b"kept"
    assert journal.look("a").pending == kept


def test_an_owner_lives_as_long_as_its_lock(tmp_path: Path) -> None:
    one, two = Owner(tmp_path), Owner(tmp_path)
    assert one.is_alive(two.token)
    assert one.is_alive(one.token)
    assert not one.is_alive("nobody")
    two.close()
    two.close()
    assert not one.is_alive(two.token)
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_room(tmp_path: Path) -> None:
    """What is pending counts, what is gone does not; a content that never fits is refused."""
    limits = RoomLimits(pending_bytes=100_000, free_bytes=0, wait_seconds=0.1)
    journal = Journal(tmp_path / "journal", limits)
    pending = _accept(journal, "a", bytes(60_000))
    assert journal._contents.pending_bytes() >= 60_000
    spool = journal.spool()
    begin = time.monotonic()
    with pytest.raises(JournalFull) as caught:
        spool.write_at(0, bytes(60_000))
    assert time.monotonic() - begin > 0.09
    assert caught.value.passing
    with pytest.raises(JournalFull) as caught:
        spool.write_at(0, bytes(100_001))
    assert not caught.value.passing
    assert journal.discard(pending.id, wait_seconds=1)
    assert journal._contents.pending_bytes() == 0
    spool.write_at(0, bytes(60_000))
    spool.discard()
    assert _files(journal) == 0
    journal.close()


def test_a_disk_with_too_little_room(tmp_path: Path) -> None:
    limits = RoomLimits(free_bytes=1 << 60, wait_seconds=0.1)
    journal = Journal(tmp_path / "journal", limits)
    with pytest.raises(JournalFull):
        _accept(journal, "a", b"x")
    assert journal.pending() == []
    journal.close()


def test_a_closed_journal_refuses(journal: Journal) -> None:
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.look("a")
