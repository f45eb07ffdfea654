"""Writing: nothing is visible before commit, and the old content stays until then."""

import os

import pytest

from providers.base import Kind, Provider, Writer
from providers.errors import (
    AlreadyExists,
    Changed,
    IsADirectory,
    NotADirectory,
    NotFound,
    StorageError,
    Unsupported,
)
from providers.names import is_reserved
from providers.testing.content import signed
from providers.testing.harness import Harness, get, names, needs, put

# What a finished writer raises: a leaf, or what Python raises for a closed file.
_FINISHED = (StorageError, ValueError)


class Writing(Harness):
    """Proves `create` and the writer that it gives."""

    def test_a_commit_makes_a_file(self, provider: Provider) -> None:
        """What was written in pieces is there for everybody, as the entry of the commit says."""
        needs(provider, "create")
        data = signed(700_001)
        with provider.create("file", size_hint=len(data)) as writer:
            for offset in range(0, len(data), 99_991):
                writer.write(data[offset : offset + 99_991])
            entry = writer.commit()
        assert (entry.name, entry.kind, entry.size) == ("file", Kind.FILE, len(data))
        assert self.get_raw("file") == data
        assert get(provider, "file") == data
        assert provider.stat("file") == entry
        assert list(provider.scandir("")) == [entry]
        with provider.open("file") as reader:
            assert reader.entry == entry

    def test_a_writer_tells_the_truth_about_what_it_replaces(self, provider: Provider) -> None:
        """It may not tell; else it says at first what is there, and at last what was."""
        needs(provider, "create")
        with provider.create("file") as writer:
            assert writer.replaces in (None, False)
            put(provider, "file", b"of somebody who was quicker")
            writer.commit()
            assert writer.replaces in (None, True)
        with provider.create("file") as writer:
            assert writer.replaces in (None, True)
            writer.commit()
            assert writer.replaces in (None, True)

    def test_an_empty_file(self, provider: Provider) -> None:
        """A writer that is never written to makes an empty file; so do empty pieces."""
        needs(provider, "create")
        put(provider, "empty", b"")
        with provider.create("never") as writer:
            assert writer.commit().size == 0
        assert self.get_raw("empty") == b""
        assert self.get_raw("never") == b""

    def test_every_kind_of_buffer(self, provider: Provider) -> None:
        """Bytes, bytearray and memoryview are taken, also a view of a part."""
        needs(provider, "create")
        with provider.create("file") as writer:
            writer.write(b"one")
            writer.write(bytearray(b"two"))
            writer.write(memoryview(b"-three-")[1:-1])
            writer.commit()
        assert self.get_raw("file") == b"onetwothree"

    def test_the_buffer_is_the_callers_again(self, provider: Provider) -> None:
        """A buffer may be overwritten as soon as `write` returns."""
        needs(provider, "create")
        blocks = [signed(65_536, seed) for seed in range(40)]
        buffer = bytearray(65_536)
        with provider.create("file") as writer:
            for block in blocks:
                buffer[:] = block
                writer.write(memoryview(buffer))
                buffer[:] = bytes(65_536)
            buffer.clear()  # raises BufferError when the writer still holds a view
            writer.commit()
        assert self.get_raw("file") == b"".join(blocks)

    @pytest.mark.parametrize("old", [None, b"old content"], ids=["new", "replaced"])
    def test_nothing_shows_before_commit(self, provider: Provider, old: bytes | None) -> None:
        """While a writer is open everybody finds what was there before."""
        needs(provider, "create")
        if old is not None:
            self.put_raw("file", old)
        with provider.create("file") as writer:
            self._check_is(provider, old)
            for _ in range(20):
                writer.write(signed(100_000))
                self._check_is(provider, old)
            writer.commit()
        self._check_is(provider, signed(100_000) * 20)

    @pytest.mark.parametrize("old", [None, b"old content"], ids=["new", "replaced"])
    @pytest.mark.parametrize("how", ["abort", "leave", "raise"])
    def test_a_cancelled_write_leaves_no_trace(
        self, provider: Provider, how: str, old: bytes | None
    ) -> None:
        """Abort, leaving the block and an exception inside it all keep what was there."""
        needs(provider, "create")
        if old is not None:
            self.put_raw("file", old)
        writer = provider.create("file")
        if how == "abort":
            writer.write(signed(300_000))
            writer.abort()
            writer.abort()
        elif how == "leave":
            with writer:
                writer.write(signed(300_000))
        else:
            with pytest.raises(KeyError), writer:
                _write_and_fail(writer)
        self._check_is(provider, old)
        left = self.list_raw("")
        assert left is None or left == ({"file"} if old is not None else set())

    def test_a_finished_writer_refuses(self, provider: Provider) -> None:
        """After commit or abort, write and commit raise, and the store does not change."""
        needs(provider, "create")
        writer = provider.create("file")
        writer.write(b"data")
        writer.commit()
        with pytest.raises(_FINISHED):
            writer.write(b"more")
        with pytest.raises(_FINISHED):
            writer.commit()
        writer.abort()
        self._check_is(provider, b"data")

        writer = provider.create("file")
        writer.write(b"other")
        writer.abort()
        with pytest.raises(_FINISHED):
            writer.write(b"more")
        with pytest.raises(_FINISHED):
            writer.commit()
        self._check_is(provider, b"data")

    def test_create_only_appends(self, provider: Provider) -> None:
        """The writer of `create` takes no random write."""
        needs(provider, "create")
        with provider.create("file") as writer:
            with pytest.raises(Unsupported):
                writer.write_at(0, b"x")
            with pytest.raises(Unsupported):
                writer.truncate(0)

    def test_a_writers_descriptor(self, provider: Provider) -> None:
        """Where a writer has a descriptor, bytes written to it are those committed."""
        needs(provider, "create")
        with provider.create("file") as writer:
            number = writer.fileno()
            if number is None:
                pytest.skip("the store's writers have no descriptor")
            os.write(number, b"direct ")
            os.write(number, b"bytes")
            assert writer.commit().size == 12
        self._check_is(provider, b"direct bytes")

    def test_create_refuses(self, provider: Provider) -> None:
        """A folder at the path, a missing parent and a file as parent are refused."""
        needs(provider, "create")
        self.mkdir_raw("folder")
        self.put_raw("file", b"x")
        for path in ("folder", ""):
            with pytest.raises(IsADirectory):
                provider.create(path)
        with pytest.raises((NotADirectory, NotFound)):
            provider.create("file/member")
        if provider.capabilities.mkdir:
            with pytest.raises(NotFound):
                provider.create("missing/file")
        assert names(provider) == {"folder", "file"}

    def test_no_overwrite(self, provider: Provider) -> None:
        """With overwrite=False a file that is there raises AlreadyExists and stays."""
        needs(provider, "create")
        self.put_raw("file", b"old")
        with pytest.raises(AlreadyExists):
            provider.create("file", overwrite=False)
        self._check_is(provider, b"old")
        with provider.create("other", overwrite=False) as writer:
            writer.write(b"new")
            writer.commit()
        assert self.get_raw("other") == b"new"

    def test_no_overwrite_at_commit(self, provider: Provider) -> None:
        """A file that came in between raises AlreadyExists at commit, and stays."""
        needs(provider, "create")
        with provider.create("file", overwrite=False) as writer:
            writer.write(b"late")
            self.put_raw("file", b"early")
            with pytest.raises(AlreadyExists):
                writer.commit()
        self._check_is(provider, b"early")

    def test_expect(self, provider: Provider) -> None:
        """With `expect`, only just that version is replaced."""
        needs(provider, "create")
        with pytest.raises(NotFound):
            provider.create("file", expect="some")
        self.put_raw("file", b"old")
        version = provider.stat("file").version
        with pytest.raises(Changed):
            provider.create("file", expect=f"not-{version}")
        self._check_is(provider, b"old")
        newer = put(provider, "file", b"new", expect=version)
        self._check_is(provider, b"new")
        with pytest.raises(Changed):
            provider.create("file", expect=version)
        put(provider, "file", b"newest", expect=newer)
        self._check_is(provider, b"newest")

    @pytest.mark.parametrize("foreign", [False, True], ids=["own", "foreign"])
    def test_expect_at_commit(self, provider: Provider, *, foreign: bool) -> None:
        """A file that changed in between raises Changed at commit, and stays."""
        needs(provider, "create")
        self.put_raw("file", b"old")
        version = provider.stat("file").version
        with provider.create("file", expect=version) as writer:
            writer.write(b"late")
            if foreign:
                self.put_raw("file", b"early!")
            else:
                put(provider, "file", b"early!")
            with pytest.raises(Changed):
                writer.commit()
            with pytest.raises(_FINISHED):
                writer.commit()
        self._check_is(provider, b"early!")

    def test_expect_of_a_file_that_goes(self, provider: Provider) -> None:
        """A file that was removed in between raises NotFound at commit, and stays away."""
        needs(provider, "create", "remove")
        self.put_raw("file", b"old")
        with provider.create("file", expect=provider.stat("file").version) as writer:
            writer.write(b"late")
            provider.remove("file")
            with pytest.raises(NotFound):
                writer.commit()
        self._check_is(provider, None)

    def test_a_hundred_rewrites_are_a_hundred_versions(self, provider: Provider) -> None:
        """Rewrites of equal size, as fast as can be, all have versions of their own."""
        needs(provider, "create")
        versions = set()
        for number in range(100):
            version = put(provider, "file", b"%08d" % number)
            assert provider.stat("file").version == version
            versions.add(version)
        assert len(versions) == 100
        assert self.get_raw("file") == b"00000099"

    def test_sweeping_spares_living_writers(self, provider: Provider) -> None:
        """A sweep takes nothing that a writer still needs, and no file."""
        needs(provider, "create")
        self.put_raw("kept", b"x")
        with provider.create("file") as writer:
            writer.write(b"first ")
            provider.sweep(older_than_seconds=3600)
            writer.write(b"second")
            writer.commit()
        self._check_is(provider, b"first second")
        assert provider.sweep(older_than_seconds=0) == 0
        assert names(provider) == {"file", "kept"}

    def _check_is(self, provider: Provider, data: bytes | None) -> None:
        """Check that "file" has this content for everybody, or is not there for anybody.

        Nothing else is listed, but for "kept".
        """
        assert self.get_raw("file") == data
        present = names(provider)
        assert present - {"kept"} == (set() if data is None else {"file"})
        raw = self.list_raw("")
        assert raw is None or {name for name in raw if not is_reserved(name)} == present
        if data is not None:
            assert get(provider, "file") == data
            return
        with pytest.raises(NotFound):
            provider.stat("file")
        with pytest.raises(NotFound):
            provider.open("file")


def _write_and_fail(writer: Writer) -> None:
    writer.write(signed(300_000))
    raise KeyError("the caller failed")
