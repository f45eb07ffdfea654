"""Modifying: random write and truncation, visible only at commit, and files over 4 GiB."""

import contextlib

import pytest

from providers.base import Provider
from providers.errors import (
    BadRange,
    Changed,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    StorageError,
)
from providers.testing.content import signed
from providers.testing.harness import Harness, get, names, needs, put

_LARGE_BYTES = 5 * 1024**3 + 12_345


class Modifying(Harness):
    """Proves `modify` and the random writer that it gives."""

    def test_random_writes(self, provider: Provider) -> None:
        """Writes at offsets, at the end and past it give what a model gives; gaps are zeros."""
        needs(provider, "modify")
        model = bytearray(signed(600_000))
        self.put_raw("file", bytes(model))
        with provider.modify("file") as writer:
            for offset, size in ((0, 10), (262_140, 9), (599_999, 300_000), (5, 0), (1_300_000, 7)):
                piece = b"\xff" * size
                writer.write_at(offset, piece)
                if piece:
                    model.extend(bytes(max(0, offset - len(model))))
                    model[offset : offset + size] = piece
            writer.write(b"the end")
            model += b"the end"
            entry = writer.commit()
        assert entry == provider.stat("file")
        assert entry.size == len(model)
        assert self.get_raw("file") == bytes(model)
        assert get(provider, "file") == model

    def test_truncation(self, provider: Provider) -> None:
        """A shorter file loses its end; a longer one gains zeros, never old bytes."""
        needs(provider, "modify")
        data = signed(600_000)
        self.put_raw("file", data)
        with provider.modify("file") as writer:
            writer.truncate(300_001)
            writer.truncate(700_000)
            assert writer.commit().size == 700_000
        assert self.get_raw("file") == data[:300_001] + bytes(399_999)
        with provider.modify("file") as writer:
            writer.truncate(0)
            writer.commit()
        assert self.get_raw("file") == b""

    def test_a_modification_shows_at_commit(self, provider: Provider) -> None:
        """The old content stays until commit, and for good after an abort."""
        needs(provider, "modify")
        self.put_raw("file", b"old content")
        writer = provider.modify("file")
        writer.write_at(0, b"NEW")
        writer.truncate(5)
        assert self.get_raw("file") == b"old content"
        assert get(provider, "file") == b"old content"
        assert names(provider) == {"file"}
        writer.abort()
        writer.abort()
        with pytest.raises((StorageError, ValueError)):
            writer.write_at(0, b"x")
        with pytest.raises((StorageError, ValueError)):
            writer.commit()
        assert self.get_raw("file") == b"old content"
        assert self.list_raw("") in (None, {"file"})

    def test_a_reader_outlives_a_modification(self, provider: Provider) -> None:
        """A reader opened before gives old bytes or Changed, never the modified ones."""
        needs(provider, "modify")
        old = signed(500_000)
        self.put_raw("file", old)
        with provider.open("file") as reader:
            with provider.modify("file") as writer:
                writer.write_at(100, b"new")
                writer.commit()
            with contextlib.suppress(Changed):
                assert reader.read_at(0, 500_000) == old

    def test_a_modification_is_a_new_version(self, provider: Provider) -> None:
        """Modifications that keep the size give versions of their own."""
        needs(provider, "modify")
        self.put_raw("file", b"........")
        versions = {provider.stat("file").version}
        for number in range(30):
            with provider.modify("file") as writer:
                writer.write_at(0, b"%08d" % number)
                versions.add(writer.commit().version)
        assert len(versions) == 31

    def test_modify_minds_the_version(self, provider: Provider) -> None:
        """With `expect`, only just that version is modified, at the start and at commit."""
        needs(provider, "modify", "create")
        self.put_raw("file", b"old")
        version = provider.stat("file").version
        with pytest.raises(Changed):
            provider.modify("file", expect=f"not-{version}")
        with provider.modify("file", expect=version) as writer:
            writer.write_at(0, b"x")
            put(provider, "file", b"early")
            with pytest.raises(Changed):
                writer.commit()
        assert self.get_raw("file") == b"early"

    def test_modify_refuses(self, provider: Provider) -> None:
        """Only a file that is there can be modified."""
        needs(provider, "modify")
        self.mkdir_raw("folder")
        self.put_raw("file", b"x")
        for path in ("folder", ""):
            with pytest.raises(IsADirectory):
                provider.modify(path)
        with pytest.raises(NotFound):
            provider.modify("missing")
        with pytest.raises((NotADirectory, NotFound)):
            provider.modify("file/member")

    def test_negative_offsets_are_refused(self, provider: Provider) -> None:
        """A negative offset or size raises BadRange."""
        needs(provider, "modify")
        self.put_raw("file", b"x")
        with provider.modify("file") as writer, pytest.raises(BadRange):
            writer.write_at(-1, b"y")
        with provider.modify("file") as writer, pytest.raises(BadRange):
            writer.truncate(-1)
        assert self.get_raw("file") == b"x"

    def test_more_than_the_largest_file(self, provider: Provider) -> None:
        """A file over `size_max` raises NoSpace, at once or at commit."""
        needs(provider, "modify", "size_max")
        limit = provider.capabilities.size_max
        assert limit is not None
        self.put_raw("file", b"x")
        with pytest.raises(NoSpace), provider.modify("file") as writer:  # noqa: PT012 - any step may
            writer.truncate(limit + 1)
            writer.commit()
        assert self.get_raw("file") == b"x"

    def test_a_file_over_4_gib(self, provider: Provider) -> None:
        """Sizes and offsets beyond 32 bits are right, at the tail and around 4 GiB."""
        limit = provider.capabilities.size_max
        if limit is not None and limit < _LARGE_BYTES:
            pytest.skip(f"the store's files are {limit} bytes at most")
        tail = signed(1000)
        if not self.put_sparse_raw("large", _LARGE_BYTES, tail):
            needs(provider, "modify")
            self.put_raw("large", b"")
            with provider.modify("large") as writer:
                writer.truncate(_LARGE_BYTES)
                writer.write_at(_LARGE_BYTES - len(tail), tail)
                assert writer.commit().size == _LARGE_BYTES
        assert provider.stat("large").size == _LARGE_BYTES
        assert [entry.size for entry in provider.scandir("")] == [_LARGE_BYTES]
        with provider.open("large") as reader:
            assert reader.read_at(_LARGE_BYTES - 1000, 2000) == tail
            assert reader.read_at(_LARGE_BYTES - 500, 10) == tail[500:510]
            assert reader.read_at(2**32 - 5, 10) == bytes(10)
            assert reader.read_at(_LARGE_BYTES, 1) == b""
