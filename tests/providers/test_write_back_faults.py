"""What goes wrong at the origin, or with the disk: nothing that was accepted is lost."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from cache.journal import Journal
from providers.errors import (
    AlreadyExists,
    Changed,
    Denied,
    NotEmpty,
    NotFound,
    Unavailable,
)
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing.content import signed
from providers.testing.harness import get, names, put
from providers.wrap import FaultProvider, LatencyProvider
from providers.write_back import WriteBackProvider

_CALLS = ("stat", "scandir", "open", "create", "remove", "rename", "mkdir", "commit", "health")

Make = Callable[..., WriteBackProvider]


def _cut(fault: FaultProvider) -> None:
    for call in _CALLS:
        fault.fail(call, Unavailable)


def test_a_dead_origin_refuses_no_write(
    make: Make, fault: FaultProvider, memory: MemoryProvider
) -> None:
    """New and known files are taken, shown and kept; then they arrive as they were shown."""
    store = make()
    _cut(fault)
    entries = {}
    for path, data in (("new", b"1"), ("folder/old", b"newer"), ("folder/in", b"3"), ("new", b"4")):
        with store.create(path) as writer:
            writer.write(data)
            entries[path] = writer.commit()
    for path, data in (("new", b"4"), ("folder/old", b"newer"), ("folder/in", b"3")):
        assert get(store, path) == data
        assert store.stat(path) == entries[path]
    with store.modify("new") as writer:
        writer.write_at(1, b"5")
        entries["new"] = writer.commit()
    with pytest.raises(Unavailable):
        store.stat("elsewhere")
    with pytest.raises(Unavailable):
        store.create("elsewhere", overwrite=False)
    with pytest.raises(AlreadyExists):
        store.create("new", overwrite=False)
    with pytest.raises(Unavailable):
        store.mkdir("newer")
    with pytest.raises(Unavailable):
        store.health()
    assert not store.flush(seconds=0.5)
    assert any("does not answer" in write.cause for write in store.journal.pending())
    fault.heal()
    assert store.flush(seconds=10)
    assert get(memory, "new") == b"45"
    assert get(memory, "folder/old") == b"newer"
    assert {path: store.stat(path) for path in entries} == entries
    assert {entry.name: entry for entry in store.scandir("folder")} == {
        "old": entries["folder/old"],
        "in": entries["folder/in"],
    }
    assert store.journal.conflicts() == []


def test_an_entry_stays_the_same_through_the_upload(make: Make, memory: MemoryProvider) -> None:
    """The version a client was given still counts after the upload, and after a restart."""
    store = make()
    with store.create("file") as writer:
        writer.write(b"data")
        entry = writer.commit()
    assert store.flush(seconds=10)
    assert store.stat("file") == entry
    with store.open("file") as reader:
        assert reader.entry == entry
    store.close()
    again = make()
    assert again.stat("file") == entry
    assert list(again.checksum("file", "sha256", expect=entry.version))
    put(again, "file", b"new", expect=entry.version)
    put(memory, "other", b"x")
    assert again.stat("other") == memory.stat("other")


def test_a_conflict_is_kept_beside(
    make: Make, fault: FaultProvider, memory: MemoryProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody else wrote meanwhile stays; ours stands beside, is logged and shown."""
    store = make()
    fault.fail("create", Unavailable)
    with store.create("folder/old") as writer:
        writer.write(b"ours")
        writer.commit()
    with store.create("fresh.tar.gz") as writer:
        writer.write(b"ours too")
        writer.commit()
    put(memory, "folder/old", b"theirs")
    put(memory, "fresh.tar.gz", b"theirs too")
    fault.heal()
    with caplog.at_level(logging.WARNING):
        assert store.flush(seconds=10)
    assert get(memory, "folder/old") == b"theirs"
    assert get(memory, "fresh.tar.gz") == b"theirs too"
    conflicts = {conflict.path: conflict for conflict in store.journal.conflicts()}
    assert get(memory, conflicts["folder/old"].beside) == b"ours"
    name = conflicts["fresh.tar.gz"].beside
    assert name.startswith("fresh.tar (conflict 20")
    assert name.endswith(").gz")
    assert get(store, name) == b"ours too"
    assert sum("that is kept as" in record.message for record in caplog.records) == 2
    for conflict in conflicts.values():
        assert store.journal.discard(conflict.id, wait_seconds=1)
    assert store.journal.conflicts() == []


def test_an_upload_of_our_own_is_no_conflict(
    make: Make, fault: FaultProvider, memory: MemoryProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has a later time than what follows it: times of SFTP sites run ahead."""
    store = make()
    put(store, "f", b"one")
    assert store.flush(seconds=10)
    _cut(fault)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 60 * 10**9)
    put(store, "f", b"two")
    assert store.journal.pending()[0].base is None
    monkeypatch.undo()
    fault.heal()
    assert store.flush(seconds=10)
    assert store.journal.conflicts() == []
    assert get(memory, "f") == b"two"


def test_equal_bytes_are_no_conflict(
    make: Make, fault: FaultProvider, memory: MemoryProvider
) -> None:
    """An upload whose answer was lost is recognised, also by another process."""
    store = make()
    fault.fail("create", Unavailable)
    put(store, "folder/old", b"arrived")
    put(memory, "folder/old", b"arrived")
    fault.heal()
    assert store.flush(seconds=10)
    assert store.journal.conflicts() == []
    assert names(memory, "folder") == {"old"}


def test_a_lost_answer_uploads_once(make: Make, memory: MemoryProvider) -> None:
    """A commit that was done and reported as failed makes no second file."""
    lying = _Lying(memory)
    store = make(lying)
    for content in (b"one", b"two", b"three"):
        # Each by itself: a newer one would take the place of one that has not begun.
        put(store, "file", content)
        assert store.flush(seconds=60)
    assert lying.lies == 0
    assert get(memory, "file") == b"three"
    assert store.journal.conflicts() == []


class _Lying(FaultProvider):
    """Does its first three commits and says that it did not."""

    lies = 3

    def _before(self, operation: str, amount: int = 1) -> None:
        return

    def create(self, path: str, **options: object) -> "_LyingWriter":  # type: ignore[override]
        return _LyingWriter(self, self.inner.create(path, **options))  # type: ignore[arg-type]


class _LyingWriter:
    def __init__(self, store: _Lying, writer: object) -> None:
        self._store = store
        self._writer = writer

    def __getattr__(self, name: str) -> object:
        return getattr(self._writer, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.abort()  # type: ignore[attr-defined]

    def commit(self) -> object:
        entry = self._writer.commit()  # type: ignore[attr-defined]
        if self._store.lies:
            self._store.lies -= 1
            raise Unavailable
        return entry


def test_what_cannot_be_uploaded_is_kept(
    make: Make, fault: FaultProvider, memory: MemoryProvider
) -> None:
    """A permanent error leaves the write stuck, shown with its cause, until somebody acts."""
    store = make()
    fault.fail("commit", lambda: Denied(detail="no write permission"))
    put(store, "file", b"kept")
    put(store, "dropped", b"dropped")
    assert store.flush(seconds=10)
    stuck = {write.path: write for write in store.journal.pending()}
    assert {write.state for write in stuck.values()} == {"stuck"}
    assert "no write permission" in stuck["file"].cause
    assert get(store, "file") == b"kept"
    store.close()
    fault.heal()
    store = make()
    time.sleep(0.4)
    with pytest.raises(NotFound):
        memory.stat("file")
    assert store.journal.discard(stuck["dropped"].id, wait_seconds=1)
    assert not store.journal.discard(stuck["dropped"].id, wait_seconds=1)
    assert store.journal.retry(stuck["file"].id) == 1
    assert store.flush(seconds=10)
    assert names(memory) == {"file", "folder"}
    assert names(store) == {"file", "folder"}


def test_a_folder_that_was_removed_elsewhere(make: Make, fault: FaultProvider) -> None:
    """The write is stuck, not lost, and arrives once the folder is there again."""
    store = make()
    fault.fail("create", Unavailable)
    put(store, "folder/file", b"kept")
    fault.inner.remove("folder/old")
    fault.inner.rmdir("folder")
    fault.heal()
    assert store.flush(seconds=10)
    (stuck,) = store.journal.pending()
    assert stuck.state == "stuck"
    assert get(store, "folder/file") == b"kept"
    fault.inner.mkdir("folder")
    store.journal.retry(None)
    assert store.flush(seconds=10)
    assert get(fault.inner, "folder/file") == b"kept"


def test_a_full_origin_is_tried_again(make: Make) -> None:
    """What does not fit waits, and arrives once there is room."""
    small = MemoryProvider(MemoryOptions(size_bytes=600_000))
    store = make(small)
    put(small, "ballast", bytes(500_000))
    put(store, "file", signed(200_000))
    assert not store.flush(seconds=0.5)
    (waiting,) = store.journal.pending()
    assert waiting.state == "waiting"
    assert "at most" in waiting.cause
    small.remove("ballast")
    assert store.flush(seconds=10)
    assert get(small, "file") == signed(200_000)


def test_names_while_uploads_wait(make: Make, fault: FaultProvider, memory: MemoryProvider) -> None:
    """What is pending follows its name, and its folder; what is removed never arrives."""
    store = make()
    fault.fail("create", Unavailable)
    put(store, "new", b"1")
    put(store, "folder/old", b"2")
    put(store, "gone", b"3")
    put(store, "folder/deep", b"4")
    with pytest.raises(NotEmpty):
        store.rmdir("folder")
    store.remove("gone")
    assert store.rename("new", "folder/newer").size == 1
    assert store.rename("folder", "moved").is_folder
    store.copy("moved/deep", "deep")
    store.set_mtime("deep", 10**18)
    with pytest.raises(Changed):
        store.remove("deep", expect="other")
    with pytest.raises(NotFound):
        store.rename("nothing", "else")
    assert names(store) == {"moved", "deep"}
    assert names(store, "moved") == {"old", "newer", "deep"}
    fault.heal()
    assert store.flush(seconds=10)
    assert names(memory) == {"moved", "deep"}
    found = {name: get(memory, f"moved/{name}") for name in names(memory, "moved")}
    assert found == {"old": b"2", "newer": b"1", "deep": b"4"}
    assert memory.stat("deep").mtime_ns == 10**18
    assert store.journal.conflicts() == []


def test_a_slow_upload_is_let_go(make: Make, memory: MemoryProvider) -> None:
    """A rename does not wait for the end of a long upload; the content arrives under its name."""
    store = make(LatencyProvider(memory, 0.05))
    put(store, "large", signed(64 << 20))
    time.sleep(0.5)
    begin = time.monotonic()
    store.rename("large", "renamed")
    assert time.monotonic() - begin < 2
    store.close()
    store = make(memory)
    assert store.flush(seconds=20)
    assert get(memory, "renamed") == signed(64 << 20)
    assert names(memory) == {"renamed", "folder"}


def test_a_rename_that_died_is_finished(
    make: Make, fault: FaultProvider, memory: MemoryProvider, tmp_path: Path
) -> None:
    """A folder that went while its gateway was killed takes along what is pending in it."""
    journal = tmp_path / "journal"
    store = make()
    fault.fail("create", Unavailable)
    put(store, "folder/file", b"kept")
    store.close()
    other = Journal(journal)
    holds = other.holds._insert(("folder", "moved"), time.monotonic() + 1)
    other.holds.intend(holds[0], "moved")
    memory.rename("folder", "moved")
    owner = other._contents.owner
    os.close(owner._descriptor)  # as the end of its process does
    owner._descriptor = -1
    other.close()
    fault.heal()
    store = make()
    assert store.flush(seconds=10)
    assert get(memory, "moved/file") == b"kept"
    put(store, "moved/file", b"newer")
