"""The suite catches stores that lie: each lie fails the test that is there for it."""

import inspect
import time
import unicodedata
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

import pytest
from msgspec.structs import replace

from providers.base import Entry, Kind, Provider, Reader, Writer
from providers.errors import StorageError, Unsupported
from providers.memory import MemoryOptions, MemoryProvider
from providers.names import parent
from providers.nodes import File, Folder
from providers.sparse import SparseBytes
from providers.testing import ProviderSuite
from providers.testing.memory import MemoryHarness
from providers.wrap import ReadOnlyProvider


class LyingWriter(Writer):
    """Forwards to an honest writer; each lie overrides one method."""

    def __init__(self, inner: Writer, store: MemoryProvider, path: str) -> None:
        self.inner = inner
        self.store = store
        self.path = path

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.inner.write(data)

    def commit(self) -> Entry:
        return self.inner.commit()

    def abort(self) -> None:
        self.inner.abort()


class LyingReader(Reader):
    def __init__(self, inner: Reader, store: MemoryProvider, path: str) -> None:
        self.inner = inner
        self.store = store
        self.path = path
        self.entry = inner.entry

    def read_at(self, offset: int, size: int) -> bytes:
        return self.inner.read_at(offset, size)

    def close(self) -> None:
        self.inner.close()


class WritesLike(MemoryProvider):
    """Gives the writers of `Lie`."""

    Lie: type[LyingWriter]

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        inner = super().create(path, overwrite=overwrite, expect=expect, size_hint=size_hint)
        return self.Lie(inner, self, path)


class ReadsLike(MemoryProvider):
    """Gives the readers of `Lie`."""

    Lie: type[LyingReader]

    def open(self, path: str) -> Reader:
        return self.Lie(super().open(path), self, path)


class VisibleBeforeCommit(WritesLike):
    class Lie(LyingWriter):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            super().write(data)
            content = SparseBytes()
            content.put(0, data)
            content.freeze()
            self.store.publish(self.path, content)


class ListsTemporaries(WritesLike):
    class Lie(LyingWriter):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            super().write(data)
            self.store.publish(self.path + ".part", SparseBytes())


class CommitsOnLeaving(WritesLike):
    class Lie(LyingWriter):
        def __exit__(self, *exc: object) -> None:
            try:
                self.commit()
            except ValueError:
                return


class KeepsTheBuffer(WritesLike):
    class Lie(LyingWriter):
        def __init__(self, inner: Writer, store: MemoryProvider, path: str) -> None:
            super().__init__(inner, store, path)
            self.kept: list[bytes | bytearray | memoryview] = []

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.kept.append(data)

        def commit(self) -> Entry:
            for data in self.kept:
                super().write(data)
            return super().commit()


class ReturnsAnotherVersion(WritesLike):
    class Lie(LyingWriter):
        def commit(self) -> Entry:
            return replace(super().commit(), version="guessed")


class CommitsTwice(WritesLike):
    class Lie(LyingWriter):
        def commit(self) -> Entry:
            try:
                return super().commit()
            except ValueError:
                return self.store.stat(self.path)


class ChecksAndThenWrites(MemoryProvider):
    """Looks whether the conditions hold, and writes a moment later: the classic race."""

    def publish(
        self,
        path: str,
        content: SparseBytes,
        *,
        xattrs: Mapping[str, bytes] | None = None,
        overwrite: bool = True,
        expect: str | None = None,
    ) -> Entry:
        with self._lock:
            self._check_target(path, overwrite=overwrite, expect=expect)
        time.sleep(0.002)
        return super().publish(path, content, xattrs=xattrs)


class ChecksOnlyAtCreate(MemoryProvider):
    def publish(
        self,
        path: str,
        content: SparseBytes,
        *,
        xattrs: Mapping[str, bytes] | None = None,
        overwrite: bool = True,
        expect: str | None = None,
    ) -> Entry:
        return super().publish(path, content, xattrs=xattrs)


class IgnoresExpect(MemoryProvider):
    def _check_target(
        self, path: str, *, overwrite: bool, expect: str | None = None
    ) -> tuple[Folder, File | None]:
        return super()._check_target(path, overwrite=overwrite)

    def remove(self, path: str, *, expect: str | None = None) -> None:
        super().remove(path)

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        return super().checksum(path, algorithm)


class DecodesPercent(MemoryProvider):
    def mkdir(self, path: str) -> Entry:
        return super().mkdir(unquote(path).replace("/", "_"))


class ReadsUnpinned(ReadsLike):
    class Lie(LyingReader):
        def read_at(self, offset: int, size: int) -> bytes:
            return MemoryProvider.open(self.store, self.path).read_at(offset, size)


class ReadsShort(ReadsLike):
    class Lie(LyingReader):
        def read_at(self, offset: int, size: int) -> bytes:
            return super().read_at(offset, min(size, 65_536))


class ReadsIn32Bits(ReadsLike):
    class Lie(LyingReader):
        def read_at(self, offset: int, size: int) -> bytes:
            return super().read_at(offset % 2**32, size)


class TakesNegativeRanges(ReadsLike):
    class Lie(LyingReader):
        def read_at(self, offset: int, size: int) -> bytes:
            return super().read_at(max(0, offset), max(0, size))


class VersionsBySize(MemoryProvider):
    def _entry(self, name: str, kind: Kind, size: int = 0) -> Entry:
        return replace(super()._entry(name, kind, size), version=f"{size}")


class VersionsBySecond(MemoryProvider):
    def _entry(self, name: str, kind: Kind, size: int = 0) -> Entry:
        entry = super()._entry(name, kind, size)
        return replace(entry, version=f"{size}-{entry.mtime_ns // 10**9}")


class VersionsByQuestion(MemoryProvider):
    def stat(self, path: str) -> Entry:
        return replace(super().stat(path), version=f"{next(self._counter)}")


class ClaimsToCopy(MemoryProvider):
    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        raise Unsupported(source, detail="not today")


class ClaimsDescriptors(MemoryProvider):
    capabilities = replace(MemoryProvider.capabilities, descriptors=True)


class DeniesToCopy(MemoryProvider):
    capabilities = replace(MemoryProvider.capabilities, copy=False)


class DeniesToWrite(MemoryProvider):
    capabilities = replace(MemoryProvider.capabilities, create=False)


class ListsAllAtOnce(MemoryProvider):
    def scandir(self, path: str) -> Iterator[Entry]:
        return iter(list(super().scandir(path)))


class ListsByPosition(MemoryProvider):
    """Goes on at a position, which shifts when members go."""

    def scandir(self, path: str) -> Iterator[Entry]:
        position = 0
        while page := list(super().scandir(path))[position : position + 10]:
            yield from page
            position += 10


class TakesAnyPath(MemoryProvider):
    def stat(self, path: str) -> Entry:
        return super().stat("file" if ".." in path or path.startswith("/") else path)


class CutsLongNames(MemoryProvider):
    def mkdir(self, path: str) -> Entry:
        return super().mkdir(path[:80])


class ComposesNames(MemoryProvider):
    def stat(self, path: str) -> Entry:
        return super().stat(unicodedata.normalize("NFC", path))


class FoldsCase(MemoryProvider):
    capabilities = replace(MemoryProvider.capabilities, case_sensitive=False)


class RemovesFullFolders(MemoryProvider):
    def rmdir(self, path: str) -> None:
        with self._lock:
            self._root.find_folder(path)
            self._root.find_folder(parent(path)).pop(path)


class AlwaysOverwrites(MemoryProvider):
    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        return super().rename(source, target, overwrite=True)


class RoundsTimes(MemoryProvider):
    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        return super().set_mtime(path, mtime_ns // 1000 * 1000)


class KeepsTextOnly(MemoryProvider):
    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        texts = {key: value and value.replace(b"\0", b"") for key, value in changes.items()}
        super().set_xattrs(path, texts)


_LIES = [
    (VisibleBeforeCommit, "test_nothing_shows_before_commit", {"old": b"old"}),
    (VisibleBeforeCommit, "test_a_cancelled_write_leaves_no_trace", {"how": "abort", "old": None}),
    (ListsTemporaries, "test_nothing_shows_before_commit", {"old": None}),
    (CommitsOnLeaving, "test_a_cancelled_write_leaves_no_trace", {"how": "leave", "old": b"old"}),
    (CommitsOnLeaving, "test_a_cancelled_write_leaves_no_trace", {"how": "raise", "old": None}),
    (KeepsTheBuffer, "test_the_buffer_is_the_callers_again", {}),
    (ReturnsAnotherVersion, "test_a_commit_makes_a_file", {}),
    (CommitsTwice, "test_a_finished_writer_refuses", {}),
    (ChecksAndThenWrites, "test_exclusive_create", {"late": True}),
    (ChecksAndThenWrites, "test_conditional_create", {"late": True}),
    (ChecksAndThenWrites, "test_no_update_is_lost", {}),
    (ChecksOnlyAtCreate, "test_no_overwrite_at_commit", {}),
    (ChecksOnlyAtCreate, "test_expect_at_commit", {"foreign": False}),
    (ChecksOnlyAtCreate, "test_expect_of_a_file_that_goes", {}),
    (ChecksOnlyAtCreate, "test_modify_minds_the_version", {}),
    (IgnoresExpect, "test_expect", {}),
    (IgnoresExpect, "test_remove_minds_the_version", {}),
    (IgnoresExpect, "test_checksums", {}),
    (DecodesPercent, "test_an_odd_folder_is_made", {"name": "a%2Fb"}),
    (ReadsUnpinned, "test_a_reader_never_mixes_versions", {}),
    (ReadsUnpinned, "test_a_reader_survives_removal", {}),
    (ReadsUnpinned, "test_readers_while_a_file_is_replaced", {}),
    (ReadsUnpinned, "test_a_reader_outlives_a_modification", {}),
    (ReadsShort, "test_read_at_is_short_only_at_the_end", {}),
    (ReadsIn32Bits, "test_a_file_over_4_gib", {}),
    (TakesNegativeRanges, "test_negative_ranges_are_refused", {}),
    (VersionsBySize, "test_a_hundred_rewrites_are_a_hundred_versions", {}),
    (VersionsBySize, "test_a_foreign_rewrite_changes_the_version", {}),
    (VersionsBySize, "test_a_modification_is_a_new_version", {}),
    (VersionsBySecond, "test_a_hundred_rewrites_are_a_hundred_versions", {}),
    (VersionsByQuestion, "test_the_version_is_one_everywhere", {}),
    (ClaimsToCopy, "test_copy", {}),
    (ClaimsDescriptors, "test_descriptors", {}),
    (DeniesToCopy, "test_a_false_capability_is_unsupported", {"operation": "copy"}),
    (DeniesToWrite, "test_a_false_capability_is_unsupported", {"operation": "create"}),
    (ListsAllAtOnce, "test_a_long_listing", {}),
    (ListsByPosition, "test_a_listing_lives_with_removal", {}),
    (TakesAnyPath, "test_a_path_that_may_not_exist", {"operation": "stat"}),
    (CutsLongNames, "test_a_name_one_byte_too_long", {"operation": "mkdir", "letter": "\u20ac"}),
    (ComposesNames, "test_unicode_forms", {}),
    (FoldsCase, "test_letter_case", {}),
    (RemovesFullFolders, "test_rmdir", {}),
    (AlwaysOverwrites, "test_over_a_file", {"operation": "rename"}),
    (RoundsTimes, "test_set_mtime", {"mtime_ns": 1_543_449_600_123_456_789}),
    (KeepsTextOnly, "test_xattrs", {}),
]


class Suite(MemoryHarness, ProviderSuite):
    """The suite over a store of any class, run by hand."""


def run(store: type[MemoryProvider], test: str, arguments: Mapping[str, object]) -> None:
    suite = Suite()
    suite.memory = store(MemoryOptions())
    provider: Provider = suite.memory
    if store is MemoryProvider and "false_capability" in test:
        provider = ReadOnlyProvider(provider)
    try:
        getattr(suite, test)(provider, **arguments)
    except pytest.skip.Exception as skipped:
        raise RuntimeError(f"the test was skipped: {skipped}") from None


@pytest.mark.parametrize(
    ("liar", "test", "arguments"),
    [pytest.param(*lie, id=f"{lie[0].__name__}-{lie[1]}") for lie in _LIES],
)
def test_a_lie_is_caught(
    liar: type[MemoryProvider], test: str, arguments: Mapping[str, object]
) -> None:
    """The lie fails the test; without the lie the same test passes."""
    with pytest.raises((AssertionError, pytest.fail.Exception, StorageError, BufferError)):
        run(liar, test, arguments)
    run(MemoryProvider, test, arguments)


def test_no_test_hides_another() -> None:
    """A test name stands in one part of the suite only: another would never run."""
    parts = [part for part in ProviderSuite.__mro__ if part.__module__.startswith("providers.")]
    tests = [
        name
        for part in parts
        for name, member in vars(part).items()
        if name.startswith("test_") and inspect.isfunction(member)
    ]
    assert len(tests) > 80
    assert len(tests) == len(set(tests))
