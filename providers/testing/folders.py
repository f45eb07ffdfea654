"""Folders: scandir, mkdir, rmdir, remove."""

import pytest

from providers.base import Kind, Provider
from providers.errors import (
    AlreadyExists,
    Changed,
    Denied,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
)
from providers.testing.harness import Harness, fill_name, names, needs


class Folders(Harness):
    """Proves what is known and done of folders, and the removal of files."""

    def test_a_listing_holds_the_members_alone(self, provider: Provider) -> None:
        """Files and folders of one level are listed as `stat` describes them."""
        self.mkdir_raw("a")
        self.mkdir_raw("a/inner")
        self.put_raw("a/file", b"123")
        self.put_raw("a/inner/deep", b"4")
        self.put_raw("b", b"5")
        assert names(provider) == {"a", "b"}
        assert {entry.name: entry for entry in provider.scandir("a")} == {
            name: provider.stat(f"a/{name}") for name in ("file", "inner")
        }

    def test_a_file_has_no_members(self, provider: Provider) -> None:
        """Listing a file raises NotADirectory at the first step at the latest."""
        self.put_raw("file", b"x")
        with pytest.raises(NotADirectory):
            next(provider.scandir("file"), None)

    def test_a_listing_may_be_left(self, provider: Provider) -> None:
        """Many listings that are begun and dropped do no harm."""
        self.mkdir_raw("folder")
        self.fill_raw("folder", 20)
        for _ in range(50):
            assert next(provider.scandir("folder")).name.startswith("f")
        assert len(names(provider, "folder")) == 20

    def test_mkdir(self, provider: Provider) -> None:
        """A new folder is there, empty, and returned as `stat` gives it."""
        needs(provider, "mkdir")
        entry = provider.mkdir("new")
        assert (entry.name, entry.kind) == ("new", Kind.FOLDER)
        assert entry == provider.stat("new")
        provider.mkdir("new/inner")
        assert names(provider) == {"new"}
        assert names(provider, "new") == {"inner"}
        assert names(provider, "new/inner") == set()

    def test_mkdir_refuses(self, provider: Provider) -> None:
        """What is there raises AlreadyExists; without a parent it is NotFound."""
        needs(provider, "mkdir")
        self.mkdir_raw("folder")
        self.put_raw("file", b"x")
        for path in ("folder", "file", ""):
            with pytest.raises(AlreadyExists):
                provider.mkdir(path)
        with pytest.raises(NotFound):
            provider.mkdir("missing/folder")
        with pytest.raises((NotADirectory, NotFound)):
            provider.mkdir("file/folder")
        assert names(provider) == {"folder", "file"}
        assert self.get_raw("file") == b"x"

    def test_rmdir(self, provider: Provider) -> None:
        """An empty folder goes; one with members stays whole."""
        needs(provider, "mkdir", "remove")
        self.mkdir_raw("full")
        self.put_raw("full/file", b"x")
        self.mkdir_raw("empty")
        with pytest.raises(NotEmpty):
            provider.rmdir("full")
        provider.rmdir("empty")
        assert names(provider) == {"full"}
        assert self.get_raw("full/file") == b"x"
        with pytest.raises(NotFound):
            provider.rmdir("empty")

    def test_rmdir_refuses(self, provider: Provider) -> None:
        """A file raises NotADirectory, the root Denied, even when it is empty."""
        needs(provider, "mkdir", "remove")
        with pytest.raises(Denied):
            provider.rmdir("")
        self.put_raw("file", b"x")
        with pytest.raises(NotADirectory):
            provider.rmdir("file")
        with pytest.raises(NotFound):
            provider.rmdir("missing")
        with pytest.raises((Denied, NotEmpty)):
            provider.rmdir("")
        assert names(provider) == {"file"}

    def test_remove(self, provider: Provider) -> None:
        """A file goes at once, for the provider and for others."""
        needs(provider, "remove")
        self.put_raw("file", b"x")
        self.put_raw("other", b"y")
        provider.remove("file")
        assert self.get_raw("file") is None
        assert names(provider) == {"other"}
        with pytest.raises(NotFound):
            provider.remove("file")

    def test_remove_refuses_folders(self, provider: Provider) -> None:
        """A folder, the root too, raises IsADirectory and stays."""
        needs(provider, "remove")
        self.mkdir_raw("folder")
        for path in ("folder", ""):
            with pytest.raises(IsADirectory):
                provider.remove(path)
        assert names(provider) == {"folder"}

    def test_remove_minds_the_version(self, provider: Provider) -> None:
        """With `expect`, only just that version goes."""
        needs(provider, "remove")
        self.put_raw("file", b"x")
        version = provider.stat("file").version
        with pytest.raises(Changed):
            provider.remove("file", expect=f"not-{version}")
        assert self.get_raw("file") == b"x"
        provider.remove("file", expect=version)
        assert self.get_raw("file") is None
        with pytest.raises(NotFound):
            provider.remove("file", expect=version)

    def test_a_listing_lives_with_removal(self, provider: Provider) -> None:
        """Members that go while they are listed do no harm; those that stay are listed once."""
        needs(provider, "remove")
        self.mkdir_raw("folder")
        self.fill_raw("folder", 1000)
        listing = provider.scandir("folder")
        seen = [next(listing).name]
        for number in range(0, 1000, 2):
            provider.remove(f"folder/{fill_name(number)}")
        seen += [entry.name for entry in listing]
        assert len(seen) == len(set(seen))
        assert {fill_name(number) for number in range(1, 1000, 2)} <= set(seen)
