"""Copies and renames across stores lose nothing, whatever fails on the way."""

from collections.abc import Callable, Iterator

import pytest

from providers.base import Entry, Provider, Reader, Writer
from providers.errors import Changed, Corrupted, NoSpace, NotFound, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from vfs.auth.caller import ANONYMOUS
from vfs.tree.transfer import BLOCK_BYTES
from vfs.tree.tree import Tree

Put = Callable[[Tree, str, bytes], str]
Get = Callable[[Tree, str], bytes]
Mounted = Callable[[dict[str, Provider]], Tree]

BIG = bytes(range(256)) * (BLOCK_BYTES // 64)


def _walk(tree: Tree, path: str) -> Iterator[str]:
    for entry in tree.scandir(ANONYMOUS, path):
        yield f"{path}/{entry.name}"
        if entry.is_folder:
            yield from _walk(tree, f"{path}/{entry.name}")


def _store() -> MemoryProvider:
    return MemoryProvider(MemoryOptions())


def _fill(tree: Tree, put: Put) -> None:
    for folder in ("/a/d", "/a/d/e", "/a/d/empty"):
        tree.mkdir(ANONYMOUS, folder)
    for name in ("/a/d/1", "/a/d/2", "/a/d/e/3"):
        put(tree, name, name.encode() * 1000)


def test_copy_moves_every_byte_and_keeps_the_source(tree: Tree, put: Put, get: Get) -> None:
    put(tree, "/a/f", BIG)
    tree.copy(ANONYMOUS, "/a/f", "/b/f")
    assert get(tree, "/a/f") == get(tree, "/b/f") == BIG


def test_rename_keeps_bytes_and_times(tree: Tree, put: Put, get: Get) -> None:
    put(tree, "/a/f", BIG)
    tree.set_mtime(ANONYMOUS, "/a/f", 10**18)
    assert tree.rename(ANONYMOUS, "/a/f", "/b/f").created
    assert get(tree, "/b/f") == BIG
    assert tree.stat(ANONYMOUS, "/b/f").mtime_ns == 10**18
    with pytest.raises(NotFound):
        tree.stat(ANONYMOUS, "/a/f")


def test_rename_of_a_folder_moves_all_it_holds(tree: Tree, put: Put, get: Get) -> None:
    _fill(tree, put)
    assert tree.rename(ANONYMOUS, "/a/d", "/b/d").failures == []
    assert set(_walk(tree, "/b/d")) == {"/b/d/1", "/b/d/2", "/b/d/e", "/b/d/e/3", "/b/d/empty"}
    assert get(tree, "/b/d/e/3") == b"/a/d/e/3" * 1000
    assert list(_walk(tree, "/a")) == []


def test_a_full_target_keeps_old_content_and_source(mounted: Mounted, put: Put, get: Get) -> None:
    tree = mounted({"/a": _store(), "/b": MemoryProvider(MemoryOptions(size_bytes=100))})
    put(tree, "/a/f", BIG)
    put(tree, "/b/f", b"old")
    for operation in (tree.copy, tree.rename):
        with pytest.raises(NoSpace):
            operation(ANONYMOUS, "/a/f", "/b/f", overwrite=True)
    assert get(tree, "/a/f") == BIG
    assert get(tree, "/b/f") == b"old"


class _ShortReader(Reader):
    """Ends too early, as a store does whose connection was cut without an error."""

    def __init__(self, reader: Reader) -> None:
        self.entry = reader.entry
        self._reader = reader

    def read_at(self, offset: int, size: int) -> bytes:
        return self._reader.read_at(offset, size) if offset == 0 else b""

    def close(self) -> None:
        self._reader.close()


class _Short(MemoryProvider):
    def open(self, path: str) -> Reader:
        return _ShortReader(super().open(path))


def test_a_source_that_ends_early_is_noticed(mounted: Mounted, put: Put, get: Get) -> None:
    source = _Short(MemoryOptions())
    tree = mounted({"/a": source, "/b": _store()})
    put(tree, "/a/f", BIG)
    put(tree, "/b/f", b"old")
    for operation in (tree.copy, tree.rename):
        with pytest.raises(Corrupted, match=f"instead of {len(BIG)}"):
            operation(ANONYMOUS, "/a/f", "/b/f", overwrite=True)
    assert get(tree, "/b/f") == b"old"
    assert tree.stat(ANONYMOUS, "/a/f").size == len(BIG)


class _Flipping(MemoryProvider):
    """Stores one wrong byte, as a failing disk or a buggy server does."""

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        writer = super().create(path, overwrite=overwrite, expect=expect, size_hint=size_hint)
        honest = writer.write

        def write(data: bytes | bytearray | memoryview) -> None:
            wrong = bytearray(data)
            wrong[len(wrong) // 2] ^= 1
            honest(wrong)

        writer.write = write  # type: ignore[method-assign] # a fault for this writer alone
        return writer


def test_rename_keeps_a_source_whose_copy_came_out_wrong(
    mounted: Mounted, put: Put, get: Get
) -> None:
    tree = mounted({"/a": _store(), "/b": _Flipping(MemoryOptions())})
    _fill(tree, put)
    put(tree, "/a/f", BIG)
    with pytest.raises(Changed, match="kept"):
        tree.rename(ANONYMOUS, "/a/f", "/b/f")
    outcome = tree.rename(ANONYMOUS, "/a/d", "/b/d")
    assert {failure.path for failure in outcome.failures} == {"/a/d/1", "/a/d/2", "/a/d/e/3"}
    assert get(tree, "/a/f") == BIG
    assert get(tree, "/a/d/e/3") == b"/a/d/e/3" * 1000


class _Dying(MemoryProvider):
    """Takes a number of files, then is gone."""

    lives = 1

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        if self.lives == 0:
            raise Unavailable(path)
        self.lives -= 1
        return super().create(path, overwrite=overwrite, expect=expect, size_hint=size_hint)


def test_rename_of_a_folder_to_a_dying_store_keeps_the_whole_source(
    mounted: Mounted, put: Put, get: Get
) -> None:
    tree = mounted({"/a": _store(), "/b": _Dying(MemoryOptions())})
    _fill(tree, put)
    before = set(_walk(tree, "/a"))
    outcome = tree.rename(ANONYMOUS, "/a/d", "/b/d")
    assert {type(failure.error) for failure in outcome.failures} == {Unavailable}
    assert set(_walk(tree, "/a")) == before
    assert get(tree, "/a/d/1") == b"/a/d/1" * 1000


class _Growing(MemoryProvider):
    """Changes a file right after it was read to its end, before it can be removed."""

    armed = False

    def remove(self, path: str, *, expect: str | None = None) -> None:
        if self.armed:
            self.armed = False
            with self.create(path) as writer:
                writer.write(b"newer")
                writer.commit()
        super().remove(path, expect=expect)


def test_rename_keeps_a_source_that_changed_meanwhile(mounted: Mounted, put: Put, get: Get) -> None:
    store = _Growing(MemoryOptions())
    tree = mounted({"/a": store, "/b": _store()})
    put(tree, "/a/f", b"old")
    store.armed = True
    with pytest.raises(Changed):
        tree.rename(ANONYMOUS, "/a/f", "/b/f")
    assert get(tree, "/a/f") == b"newer"


def test_copy_streams_in_constant_memory(mounted: Mounted) -> None:
    """A sparse file of 64 MiB passes without ever being held."""
    import tracemalloc

    class Sink(MemoryProvider):
        def create(
            self,
            path: str,
            *,
            overwrite: bool = True,
            expect: str | None = None,
            size_hint: int | None = None,
        ) -> Writer:
            return _Counting()

    class _Counting(Writer):
        size = 0

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.size += len(data)

        def commit(self) -> Entry:
            return source.stat("f")

        def abort(self) -> None:
            pass

    source, sink = _store(), Sink(MemoryOptions())
    sink.capabilities = type(sink.capabilities)(create=True)
    with source.create("f") as writer:
        writer.commit()
    with source.modify("f") as changer:
        changer.truncate(64 << 20)
        changer.commit()
    tree = mounted({"/a": source, "/b": sink})
    tracemalloc.start()
    try:
        tree.copy(ANONYMOUS, "/a/f", "/b/f")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * BLOCK_BYTES
