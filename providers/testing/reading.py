"""Reading: stat, open, read_at, descriptors, checksums, usage, health, close."""

import hashlib
import os
import time
import zlib
from collections.abc import Callable

import pytest

from providers.base import Content, Kind, Provider
from providers.errors import (
    BadRange,
    Changed,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    StorageError,
    Unsupported,
)
from providers.testing.content import is_whole, signed
from providers.testing.harness import Harness, get, needs, put


class Reading(Harness):
    """Proves the methods that every store has."""

    def test_the_root_is_a_folder_without_a_name(self, provider: Provider) -> None:
        """An empty store has a root, and lists nothing."""
        root = provider.stat("")
        assert (root.name, root.kind, root.is_folder) == ("", Kind.FOLDER, True)
        assert list(provider.scandir("")) == []

    def test_stat_describes_a_file(self, provider: Provider) -> None:
        """Name, kind, size, time and version of a file that another program wrote."""
        self.mkdir_raw("folder")
        before = time.time_ns()
        self.put_raw("folder/file.txt", b"12345")
        entry = provider.stat("folder/file.txt")
        assert (entry.name, entry.kind, entry.size) == ("file.txt", Kind.FILE, 5)
        assert not entry.is_folder
        assert abs(entry.mtime_ns - before) < 120 * 10**9
        assert entry.version

    def test_stat_describes_a_folder(self, provider: Provider) -> None:
        """A folder has its last segment for a name."""
        self.mkdir_raw("outer")
        self.mkdir_raw("outer/inner")
        entry = provider.stat("outer/inner")
        assert (entry.name, entry.kind) == ("inner", Kind.FOLDER)

    @pytest.mark.parametrize("operation", ["stat", "open", "scandir", "checksum"])
    def test_what_is_not_there_is_not_found(self, provider: Provider, operation: str) -> None:
        """A missing file, and a missing folder above it, raise NotFound."""
        for path in ("missing", "missing/file"):
            with pytest.raises(NotFound):
                _ask(provider, operation, path)

    def test_a_look_has_none_for_nothing(self, provider: Provider) -> None:
        """It gives what `stat` gives, and None where that says that nothing is there."""
        self.mkdir_raw("folder")
        self.put_raw("folder/file", b"x")
        for path in ("", "folder", "folder/file"):
            assert provider.look(path) == provider.stat(path)
        for path in ("missing", "folder/missing", "missing/file"):
            assert provider.look(path) is None

    @pytest.mark.parametrize("operation", ["stat", "open", "scandir", "checksum"])
    def test_nothing_is_below_a_file(self, provider: Provider, operation: str) -> None:
        """A path through a file raises NotADirectory, or NotFound where a store cannot tell."""
        self.put_raw("file", b"x")
        with pytest.raises((NotADirectory, NotFound)):
            _ask(provider, operation, "file/member")

    def test_a_folder_has_no_bytes(self, provider: Provider) -> None:
        """Opening a folder, the root too, raises IsADirectory."""
        self.mkdir_raw("folder")
        for path in ("folder", ""):
            with pytest.raises(IsADirectory):
                provider.open(path)

    def test_every_failure_is_an_oserror(self, provider: Provider) -> None:
        """Code that knows only the standard library handles a leaf rightly."""
        with pytest.raises(OSError, match="no such file") as caught:
            provider.stat("missing")
        assert isinstance(caught.value, StorageError)
        assert caught.value.errno == NotFound.number

    def test_read_at_is_short_only_at_the_end(self, provider: Provider) -> None:
        """Every piece has the size asked for, but for the last; beyond the end there is none."""
        data = signed(300_001)
        self.put_raw("file", data)
        with provider.open("file") as reader:
            assert reader.entry.size == len(data)
            for offset in (0, 1, 4095, 65_536, 262_143, 262_144, 299_999):
                for size in (0, 1, 2, 4096, 70_000, 300_001):
                    assert reader.read_at(offset, size) == data[offset : offset + size]
            assert reader.read_at(300_000, 2) == data[-1:]
            assert reader.read_at(300_001, 1) == b""
            assert reader.read_at(10**12, 10) == b""

    def test_a_stream_gives_what_is_there(self, provider: Provider) -> None:
        """`pieces` gives what `read_at` gives, and what it gave stands as long as it is held."""
        data = signed(5_500_001)
        self.put_raw("file", data)
        size = len(data)
        with provider.open("file") as reader:
            for offset, wanted in ((0, size), (3, size), (1_000_003, 3_000_000), (size, 5), (7, 0)):
                came = b"".join(list(reader.pieces(offset, wanted)))
                assert came == data[offset : offset + wanted]
            both = [reader.pieces(0, size), reader.pieces(size // 2, size)]
            at = [0, size // 2]
            for turn in range(6):
                piece = bytes(next(both[turn % 2], b""))
                assert piece == data[at[turn % 2] : at[turn % 2] + len(piece)]
                at[turn % 2] += len(piece)
            del both  # whoever leaves early hinders nobody
            with pytest.raises(BadRange):
                list(reader.pieces(-1, 10))
            assert reader.read_at(1, 100) == data[1:101]

    def test_many_pieces_come_in_order(self, provider: Provider) -> None:
        """`read_many` gives what `read_at` gives, in the order asked for."""
        data = signed(2_000_001)
        self.put_raw("file", data)
        spans = [(number * 700_001 % 2_000_100, number * 37 % 70_000) for number in range(200)]
        spans += [(5, 1_500_000), (0, 2_000_001), (2_000_000, 5), (10**12, 10), (7, 0)]
        with provider.open("file") as reader:
            wanted = [data[offset : offset + size] for offset, size in spans]
            assert list(reader.read_many(iter(spans))) == wanted
            assert list(reader.read_many([])) == []
            pieces = reader.read_many(spans)
            assert next(pieces) == wanted[0]
            del pieces  # whoever leaves early hinders nobody
            assert reader.read_at(1, 100) == data[1:101]
            with pytest.raises(BadRange):
                list(reader.read_many([(0, 1), (-1, 1)]))
            assert list(reader.read_many([(3, 4)])) == [data[3:7]]

    def test_many_pieces_are_of_one_version(self, provider: Provider) -> None:
        """A file replaced while `read_many` goes on gives its old bytes or Changed."""
        old, new = signed(400_000, 1), signed(400_000, 2)
        self.put_raw("file", old)
        with provider.open("file") as reader:
            pieces = reader.read_many((offset, 1000) for offset in range(0, 400_000, 1000))
            first = next(pieces)
            time.sleep(self.foreign_step_seconds)
            self.put_raw("file", new)
            try:
                rest = b"".join(pieces)
            except Changed:
                return
            assert first + rest == old

    def test_many_files(self, provider: Provider) -> None:
        """`get_many` gives each file once, whole up to a size, and the error of what is none."""
        self.mkdir_raw("folder")
        self.mkdir_raw("folder/inner")
        wanted = {
            f"folder/inner/f{number}": signed(40 + number * 97, number) for number in range(150)
        }
        wanted |= {"empty": b"", "large": signed(70_000), "limit": signed(40_000)}
        for path, data in wanted.items():
            self.put_raw(path, data)
        others: dict[str, type[StorageError] | tuple[type[StorageError], ...]] = {
            "folder": IsADirectory,
            "": IsADirectory,
            "folder/missing": NotFound,
            "missing/file": NotFound,
            "empty/member": (NotADirectory, NotFound),
            "../out": InvalidPath,
        }
        answers = list(provider.get_many(iter([*wanted, *others, "empty"]), 40_000))
        assert sorted(path for path, _ in answers) == sorted([*wanted, *others, "empty"])
        for path, found in answers:
            if path in others:
                assert isinstance(found, others[path])
                continue
            assert isinstance(found, Content)
            assert found.entry == provider.stat(path)
            assert found.data == (None if path == "large" else wanted[path])
        assert list(provider.get_many([], 10)) == []

    def test_many_files_are_left_early(self, provider: Provider) -> None:
        """Whoever takes one of many hinders nobody."""
        for number in range(20):
            self.put_raw(f"f{number}", signed(1000, number))
        files = provider.get_many((f"f{number}" for number in range(20)), 1000)
        path, found = next(files)
        del files
        assert isinstance(found, Content)
        assert found.data == get(provider, path)

    def test_many_files_are_as_they_are_now(self, provider: Provider) -> None:
        """What was rewritten is not given in its old version."""
        self.put_raw("file", b"old")
        assert _only(provider, "file") == b"old"
        if provider.capabilities.create:
            put(provider, "file", b"new")
        else:
            time.sleep(self.foreign_step_seconds)
            self.put_raw("file", b"new")
        assert _only(provider, "file") == b"new"

    def test_an_empty_file_reads_as_nothing(self, provider: Provider) -> None:
        """A file without bytes is a file like others."""
        self.put_raw("empty", b"")
        assert provider.stat("empty").size == 0
        with provider.open("empty") as reader:
            assert reader.entry.size == 0
            assert reader.read_at(0, 100) == b""

    def test_negative_ranges_are_refused(self, provider: Provider) -> None:
        """A negative offset or size raises BadRange, and the reader goes on."""
        self.put_raw("file", b"0123")
        with provider.open("file") as reader:
            for offset, size in ((-1, 1), (0, -1), (-5, -5)):
                with pytest.raises(BadRange):
                    reader.read_at(offset, size)
            assert reader.read_at(1, 2) == b"12"

    def test_a_reader_closes_twice(self, provider: Provider) -> None:
        """Closing a reader or the provider again is no error."""
        self.put_raw("file", b"x")
        reader = provider.open("file")
        reader.close()
        reader.close()
        provider.close()
        provider.close()

    def test_the_version_is_one_everywhere(self, provider: Provider) -> None:
        """Stat, open and the listing give the same entry, and it stays while nothing changes."""
        self.put_raw("file", b"0123")
        entry = provider.stat("file")
        for _ in range(3):
            with provider.open("file") as reader:
                assert reader.entry == entry
                reader.read_at(0, 4)
            assert list(provider.scandir("")) == [entry]
            assert provider.stat("file") == entry

    def test_a_foreign_rewrite_changes_the_version(self, provider: Provider) -> None:
        """A rewrite by another program shows, also one of equal size within a second."""
        versions = set()
        for data in (b"one", b"two", b"three", b"four!"):
            self.put_raw("file", data)
            versions.add(provider.stat("file").version)
            assert get(provider, "file") == data
            time.sleep(self.foreign_step_seconds)
        assert len(versions) == 4

    def test_a_reader_never_mixes_versions(self, provider: Provider) -> None:
        """A file replaced under a reader gives its old bytes or Changed."""
        old, new = signed(400_000, 1), signed(400_000, 2)
        self.put_raw("file", old)
        with provider.open("file") as reader:
            first = reader.read_at(0, 150_000)
            if provider.capabilities.create:
                put(provider, "file", new)
            else:
                time.sleep(self.foreign_step_seconds)
                self.put_raw("file", new)
            _check_pinned(first, old, reader.read_at)
            assert reader.entry.size == len(old)
        assert get(provider, "file") == new

    def test_a_reader_survives_removal(self, provider: Provider) -> None:
        """A file removed under a reader gives its old bytes or Changed."""
        needs(provider, "remove")
        old = signed(400_000, 1)
        self.put_raw("file", old)
        with provider.open("file") as reader:
            first = reader.read_at(0, 150_000)
            provider.remove("file")
            _check_pinned(first, old, reader.read_at)

    def test_descriptors(self, provider: Provider) -> None:
        """A descriptor gives just these bytes; a true capability means that there is one."""
        data, new = signed(100_000, 1), signed(100_000, 2)
        self.put_raw("file", data)
        with provider.open("file") as reader:
            number = reader.fileno()
            if number is None:
                assert not provider.capabilities.descriptors
                return
            assert os.pread(number, 100_000, 0) == data
            assert os.pread(number, 5, 99_995) == data[-5:]
            reader.check()
            if provider.capabilities.create:
                put(provider, "file", new)
                sent = os.pread(number, 100_000, 0)
                try:
                    reader.check()
                except Changed:
                    return
                assert sent == data

    def test_checksums(self, provider: Provider) -> None:
        """Each algorithm named gives the digest of the bytes, and minds `expect`."""
        needs(provider, "checksums")
        data = signed(300_001)
        self.put_raw("file", data)
        version = provider.stat("file").version
        for algorithm in provider.capabilities.checksums:
            if algorithm == "adler32":
                digest = zlib.adler32(data).to_bytes(4, "big")
            else:
                digest = hashlib.new(algorithm, data).digest()
            assert provider.checksum("file", algorithm) == digest
            assert provider.checksum("file", algorithm, expect=version) == digest
            with pytest.raises(Changed):
                provider.checksum("file", algorithm, expect=f"not-{version}")

    def test_other_checksums_are_unsupported(self, provider: Provider) -> None:
        """An algorithm that the capability does not name raises Unsupported."""
        self.put_raw("file", b"x")
        others = {"md5", "sha1", "sha256", "sha512", "adler32", "no-such-algorithm"}
        for algorithm in others - provider.capabilities.checksums:
            with pytest.raises(Unsupported):
                provider.checksum("file", algorithm)

    def test_usage(self, provider: Provider) -> None:
        """The store says what is used or free, in plausible numbers."""
        needs(provider, "usage")
        usage = provider.usage("")
        assert (usage.used, usage.available) != (None, None)
        assert usage.used is None or usage.used >= 0
        assert usage.available is None or usage.available >= 0

    def test_health(self, provider: Provider) -> None:
        """A store that serves says so by returning."""
        provider.health()


def _only(provider: Provider, path: str) -> bytes | None:
    ((_, found),) = provider.get_many([path], 100)
    assert isinstance(found, Content)
    return found.data


def _ask(provider: Provider, operation: str, path: str) -> None:
    if operation == "scandir":
        next(provider.scandir(path), None)
    elif operation == "checksum":
        needs(provider, "checksums")
        provider.checksum(path, min(provider.capabilities.checksums))
    else:
        getattr(provider, operation)(path)


def _check_pinned(first: bytes, old: bytes, read_at: Callable[[int, int], bytes]) -> None:
    assert first == old[: len(first)]
    try:
        rest = b"".join(read_at(offset, 100_000) for offset in range(len(first), len(old), 100_000))
    except Changed:
        return
    assert is_whole(first + rest), "the reader gave bytes of another version"
    assert first + rest == old
