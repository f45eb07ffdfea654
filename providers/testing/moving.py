"""Moving: rename and copy inside the store."""

import contextlib

import pytest

from providers.base import Entry, Provider
from providers.errors import (
    AlreadyExists,
    Denied,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    StorageError,
)
from providers.testing.content import signed
from providers.testing.harness import Harness, get, names, needs, put

_OCCUPIED = (AlreadyExists, IsADirectory, NotADirectory)


class Moving(Harness):
    """Proves `rename` and `copy`."""

    def test_rename_a_file(self, provider: Provider) -> None:
        """The file has its new name alone, in another folder too."""
        needs(provider, "rename")
        self.mkdir_raw("folder")
        self.put_raw("old", b"data")
        for source, target in (("old", "new"), ("new", "folder/newer")):
            entry = provider.rename(source, target)
            assert entry == provider.stat(target)
            assert self.get_raw(source) is None
            assert self.get_raw(target) == b"data"
            assert get(provider, target) == b"data"
            with pytest.raises(NotFound):
                provider.stat(source)
        assert names(provider) == {"folder"}
        assert names(provider, "folder") == {"newer"}

    def test_rename_a_folder(self, provider: Provider) -> None:
        """A folder takes all that is in it along."""
        needs(provider, "rename")
        self.mkdir_raw("old")
        self.mkdir_raw("old/inner")
        self.put_raw("old/inner/file", b"data")
        assert provider.rename("old", "new") == provider.stat("new")
        assert names(provider) == {"new"}
        assert self.get_raw("new/inner/file") == b"data"
        assert self.get_raw("old/inner/file") is None
        with pytest.raises(NotFound):
            provider.stat("old")

    @pytest.mark.parametrize("operation", ["rename", "copy"])
    def test_over_a_file(self, provider: Provider, operation: str) -> None:
        """A file is replaced only with overwrite=True."""
        needs(provider, operation)
        self.put_raw("source", b"source")
        self.put_raw("target", b"target")
        before = provider.stat("target").version
        with pytest.raises(AlreadyExists):
            _move(provider, operation, "source", "target")
        assert self.get_raw("source") == b"source"
        assert self.get_raw("target") == b"target"
        entry = _move(provider, operation, "source", "target", overwrite=True)
        assert entry == provider.stat("target")
        assert entry.version != before
        assert self.get_raw("target") == b"source"
        assert self.get_raw("source") == (None if operation == "rename" else b"source")

    def test_a_folder_replaces_nothing(self, provider: Provider) -> None:
        """A folder takes the place of no file and of no folder, even with overwrite=True."""
        needs(provider, "rename")
        self.mkdir_raw("source")
        self.put_raw("source/kept", b"1")
        self.mkdir_raw("empty")
        self.mkdir_raw("full")
        self.put_raw("full/kept", b"2")
        self.put_raw("file", b"3")
        for target in ("empty", "full", "file", ""):
            for overwrite in (False, True):
                with pytest.raises(_OCCUPIED):
                    provider.rename("source", target, overwrite=overwrite)
        assert names(provider) == {"source", "empty", "full", "file"}
        kept = [self.get_raw(path) for path in ("source/kept", "full/kept", "file")]
        assert kept == [b"1", b"2", b"3"]

    @pytest.mark.parametrize("operation", ["rename", "copy"])
    def test_a_file_replaces_no_folder(self, provider: Provider, operation: str) -> None:
        """A file takes the place of no folder, even with overwrite=True."""
        needs(provider, operation)
        self.put_raw("source", b"1")
        self.mkdir_raw("empty")
        self.mkdir_raw("full")
        self.put_raw("full/kept", b"2")
        for target in ("empty", "full", ""):
            for overwrite in (False, True):
                with pytest.raises(_OCCUPIED):
                    _move(provider, operation, "source", target, overwrite=overwrite)
        assert names(provider) == {"source", "empty", "full"}
        assert [self.get_raw(path) for path in ("source", "full/kept")] == [b"1", b"2"]

    def test_a_folder_cannot_move_into_itself(self, provider: Provider) -> None:
        """Neither below itself nor deeper; a sibling whose name begins alike is no child."""
        needs(provider, "rename")
        self.mkdir_raw("folder")
        self.mkdir_raw("folder/inner")
        self.put_raw("folder/file", b"x")
        for target in ("folder/new", "folder/inner/new"):
            with pytest.raises(InvalidPath):
                provider.rename("folder", target)
        assert self.get_raw("folder/file") == b"x"
        provider.rename("folder", "folder2")
        assert self.get_raw("folder2/file") == b"x"

    def test_the_root_stays(self, provider: Provider) -> None:
        """The root cannot be renamed."""
        needs(provider, "rename")
        self.put_raw("file", b"x")
        with pytest.raises((Denied, InvalidPath)):
            provider.rename("", "new")
        assert names(provider) == {"file"}

    @pytest.mark.parametrize("operation", ["rename", "copy"])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_onto_itself(self, provider: Provider, operation: str, *, overwrite: bool) -> None:
        """A file moved onto itself may be refused, but is never lost."""
        needs(provider, operation)
        self.put_raw("file", b"data")
        with contextlib.suppress(StorageError):
            _move(provider, operation, "file", "file", overwrite=overwrite)
        assert self.get_raw("file") == b"data"
        assert names(provider) == {"file"}

    @pytest.mark.parametrize("operation", ["rename", "copy"])
    def test_what_is_missing(self, provider: Provider, operation: str) -> None:
        """A missing source and a missing parent of the target raise NotFound."""
        needs(provider, operation)
        self.put_raw("file", b"x")
        with pytest.raises(NotFound):
            _move(provider, operation, "missing", "new")
        if provider.capabilities.mkdir:
            with pytest.raises(NotFound):
                _move(provider, operation, "file", "missing/new")
        self.put_raw("other", b"y")
        with pytest.raises((NotADirectory, NotFound)):
            _move(provider, operation, "file", "other/new")
        assert names(provider) == {"file", "other"}
        assert self.get_raw("file") == b"x"

    def test_copy(self, provider: Provider) -> None:
        """Source and copy are two files; a change of one leaves the other."""
        needs(provider, "copy", "create")
        data = signed(400_000)
        self.mkdir_raw("folder")
        self.put_raw("file", data)
        entry = provider.copy("file", "folder/twin")
        assert entry == provider.stat("folder/twin")
        assert entry.size == len(data)
        put(provider, "file", b"changed")
        assert self.get_raw("folder/twin") == data
        assert get(provider, "folder/twin") == data
        assert self.get_raw("file") == b"changed"

    def test_copy_takes_files_only(self, provider: Provider) -> None:
        """A folder raises IsADirectory."""
        needs(provider, "copy")
        self.mkdir_raw("folder")
        with pytest.raises(IsADirectory):
            provider.copy("folder", "new")
        assert names(provider) == {"folder"}


def _move(
    provider: Provider, operation: str, source: str, target: str, *, overwrite: bool = False
) -> Entry:
    method = provider.rename if operation == "rename" else provider.copy
    return method(source, target, overwrite=overwrite)
