"""The contract between the tree and a store.

Driver-sized, synchronous, thread-safe: the author of a store implements little, and `vfs/tree`
adds what all share (capability checks, error context, parents, copies across stores, events).

Every path is relative, normalised (`names.check_path`), and "" is the root. Every method may be
called from many threads at once. Every failure is a leaf of `errors.StorageError`. Every operation
that a capability names raises Unsupported when that capability is false.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Self

import msgspec

from providers.errors import NotFound, StorageError, Unsupported

__all__ = [
    "Capabilities",
    "Content",
    "Entry",
    "Kind",
    "Options",
    "Provider",
    "Reader",
    "Usage",
    "Writer",
]


class Kind(enum.StrEnum):
    """What stands at a path. Sockets, devices and refused links are not listed at all."""

    FILE = "file"
    FOLDER = "folder"
    __hash__ = str.__hash__  # an Enum's is a function of Python, and not that of an equal text


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What is known of one file or folder.

    `name` is the last segment ("" for the root). `version` is an opaque token that changes
    whenever the bytes change, also for two rewrites of equal size within one second; ETags come
    from it. `media_type` is set only where the store keeps one. gc=False: an entry holds nothing
    that could form a cycle, and a listing makes many.
    """

    name: str
    kind: Kind
    size: int
    mtime_ns: int
    version: str
    media_type: str | None = None
    stale_seconds: float = 0.0
    """For how long this is out of date: set when the store is down and a cache stands in for it."""

    @property
    def is_folder(self) -> bool:
        """Tell whether this is a folder."""
        return self.kind is Kind.FOLDER


class Usage(msgspec.Struct, frozen=True):
    """How full a store is, in bytes; None where the store does not say."""

    used: int | None
    available: int | None


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can do, as plain data. The suite proves each field in both directions.

    A verb names a method. A phrase names a promise of that method. Everything else is a limit.
    """

    create: bool = False
    """New files, visible only at commit."""
    modify: bool = False
    """Random write and truncation of a file, visible only at commit."""
    mkdir: bool = False
    """Folders that exist without members."""
    remove: bool = False
    """Removal of files and, where mkdir is true, of empty folders."""
    rename: bool = False
    """Atomic rename of files and folders inside the store."""
    copy: bool = False
    """Copy of a file inside the store, without its bytes passing through us."""
    set_mtime: bool = False
    """Modification times can be set, to `mtime_resolution_ns`."""
    usage: bool = False
    """The store tells how full it is."""
    xattrs: bool = False
    """Extended attributes can be read and written."""
    checksums: frozenset[str] = frozenset()
    """Algorithms that the store computes by itself or keeps: names of hashlib, or adler32."""
    descriptors: bool = False
    """Reader.fileno always gives a real descriptor; false: sometimes, or never."""
    exclusive_create: bool = False
    """overwrite=False is decided atomically at commit, whoever else writes."""
    conditional_create: bool = False
    """expect is decided atomically at commit among all writers that use this provider."""
    deferred: bool = False
    """Files are accepted while the store is out of reach, and reach it later."""
    links: bool = False
    """Folders may be links to others. `rmdir` takes the link alone, whatever it leads to."""
    case_sensitive: bool = True
    """"A" and "a" are two names."""
    normalises_unicode: bool = False
    """NFC and NFD spellings are one name."""
    name_max_bytes: int = 255
    """The longest name, in UTF-8."""
    size_max: int | None = None
    """The largest file."""
    mtime_resolution_ns: int = 1
    """The step in which modification times are kept."""
    settling_seconds: float = 0.0
    """So long after its modification a file may change once more and keep its version."""


PIECE_BYTES = 1 << 20
"""What is read at once of what is read in order, and sent at once."""


class Reader(ABC):
    """Reads one version of one file, from any offset, from many threads.

    `entry` is fixed when the file is opened and describes exactly the bytes that are read.
    `remarks` are what may be told beside them, names to texts; complete once `prepare` returned.
    """

    entry: Entry
    remarks: Mapping[str, str] = MappingProxyType({})
    is_final: bool = False  # whether nobody ever changes what `fileno` leads to
    reads_ahead: ClassVar[bool] = False
    """Whether it asks its store for what follows by itself, while it is read in order."""

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file.

        Raises Changed when the bytes of the pinned version are gone, never mixes two versions;
        BadRange when `offset` or `size` is negative.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the reader holds. Closing twice is no error."""

    def pieces(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes that `read_at` returns, in order, in pieces as they come.

        A piece stands as long as it is held; who holds many holds much memory.
        """
        end = offset + size
        while offset < end and (piece := self.read_at(offset, min(PIECE_BYTES, end - offset))):
            yield piece
            offset += len(piece)

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield what `read_at` returns for each (offset, size), in order.

        For many small pieces: a far store is asked for those ahead meanwhile, so `spans` may be
        taken a little ahead of what was yielded.
        """
        for offset, size in spans:
            yield self.read_at(offset, size)

    def read_now(self, offset: int, size: int) -> bytes | bytearray | None:
        """Return what `read_at` would if that needs no waiting, else None."""
        return None

    def fileno(self) -> int | None:
        """Return a descriptor whose offsets are those of the file, or None.

        It stays the reader's: neither close nor seek it, take nothing behind `entry.size`, and call
        `check` after each block.
        """
        return None

    def prepare(self) -> None:
        """Do now what the first read would have to wait for, so that its errors come now."""

    def check(self, sent: int = 0) -> None:
        """Raise Changed when what stands behind `fileno` is no longer the pinned version.

        `sent` says how many bytes left from there since the last call.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Content(msgspec.Struct, frozen=True):
    """One file of `get_many`: `data` is all of `entry`'s version, None if it is more than asked."""

    entry: Entry
    data: bytes | None


class Writer(ABC):
    """Takes the new content of one file. One thread at a time.

    Nothing is visible before `commit` and the old content stays until then. Leaving the `with`
    block without a commit aborts; so does a lost connection or a killed process. `replaces` tells
    whether a file is there, and after the commit whether one was; None of a store that does not.
    """

    replaces: bool | None = None

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`. The buffer is the caller's again when the call returns."""

    @abstractmethod
    def commit(self) -> Entry:
        """Make the content visible in one step and return its entry.

        Raises AlreadyExists or Changed when `overwrite` or `expect` of `create` no longer hold;
        then, and after any other error, the old content stands and the writer is aborted.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop what was written. After a commit or an abort it does nothing."""

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `offset`; a gap reads as zeros. Only on a writer of `modify`."""
        raise Unsupported(detail="this writer only appends")

    def truncate(self, size: int) -> None:
        """Make the file exactly `size` bytes long. Only on a writer of `modify`."""
        raise Unsupported(detail="this writer only appends")

    def fileno(self) -> int | None:
        """Return a descriptor that takes the bytes in order, or None.

        Who writes to it directly does so instead of `write`, not beside it.
        """
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a mount's configuration may say to its provider.

    A field's docstring is its documentation. A path, of type `pathlib.Path`, is made absolute by
    the configuration, relative to its own file. `secret.Secret` says where a password or key is.
    """


class Provider(ABC):
    """One store.

    `name` is what configuration calls the class; `options` is the type that its configuration is
    read into; an instance is made by `Provider(options)` and connects lazily, so making one never
    waits. What the machine must have is said by ImportError, which becomes an install hint.
    """

    name: ClassVar[str]
    options: ClassVar[type[Options]]
    remote: ClassVar[bool] = False
    """Whether the store is reached over a network, so that it is cached unless told otherwise."""
    one_process: ClassVar[bool] = False
    """Whether what it holds lives in the memory of one process, so that one alone can serve it."""
    prompt: bool = False
    """Whether it answers without waiting for another machine, and says by `waiting.begin` where it
    waits for anything else: then cheap requests are served in the thread of all connections."""
    capabilities: Capabilities

    @abstractmethod
    def stat(self, path: str) -> Entry:
        """Return the entry at `path`; NotFound if nothing is there."""

    def look(self, path: str) -> Entry | None:
        """Return the entry at `path`, None if nothing is there; a store may do so for less."""
        try:
            return self.stat(path)
        except NotFound:
            return None

    @abstractmethod
    def scandir(self, path: str) -> Iterator[Entry]:
        """Yield the members of a folder, in any order, in constant memory.

        Raises NotFound or NotADirectory at the first step at the latest. Left out are members that
        vanish meanwhile, reserved names, and what is neither file nor folder.
        """

    @abstractmethod
    def open(self, path: str) -> Reader:
        """Return a reader of the file's present version; NotFound, IsADirectory."""

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        """Yield each path once, in any order, with its file or with the error of its opening.

        For many small files: the whole comes when it is at most `size` bytes. A far store is asked
        for many at once, `paths` are taken ahead. One not available is the error of each path.
        """
        for path in paths:
            try:
                with self.open(path) as reader:
                    entry = reader.entry
                    data = reader.read_at(0, entry.size) if entry.size <= size else None
            except StorageError as error:
                yield path, error
            else:
                yield path, Content(entry, data)

    @abstractmethod
    def health(self) -> None:
        """Return when the store serves; raise what hinders it, with cause and way out."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections and descriptors. Closing twice is no error."""

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        """Return a writer of a new content for `path`.

        With overwrite=False a file that is there raises AlreadyExists. With `expect`, the file
        must be there in just this version, else Changed (NotFound if it is gone). Both are checked
        now and again at commit. The parent must exist (NotFound); a folder at `path` raises
        IsADirectory. `size_hint` lets the store refuse early (NoSpace) or reserve.
        """
        raise Unsupported(path, detail="files cannot be created here")

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        """Return a writer that starts with the present content of `path` and takes `write_at`."""
        raise Unsupported(path, detail="files cannot be changed in place here")

    def mkdir(self, path: str) -> Entry:
        """Make one folder; AlreadyExists, or NotFound without its parent."""
        raise Unsupported(path, detail="folders cannot be made here")

    def remove(self, path: str, *, expect: str | None = None) -> None:
        """Remove a file; IsADirectory on a folder, Changed when it is not version `expect`."""
        raise Unsupported(path, detail="files cannot be removed here")

    def rmdir(self, path: str) -> None:
        """Remove an empty folder; NotEmpty, NotADirectory. The root stays: Denied."""
        raise Unsupported(path, detail="folders cannot be removed here")

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        """Rename a file or folder in one step; return the entry at `target`.

        A file may replace a file if `overwrite`; anything else at `target` raises AlreadyExists,
        IsADirectory or NotADirectory. Moving a folder into itself raises InvalidPath.
        """
        raise Unsupported(source, detail="names cannot be changed here")

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        """Copy a file inside the store, atomically for readers of `target`; return its entry."""
        raise Unsupported(source, detail="this store cannot copy by itself")

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        """Set the modification time; return the entry as it is now."""
        raise Unsupported(path, detail="modification times cannot be set here")

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        """Return the digest that the store itself gives; Changed if not of version `expect`."""
        raise Unsupported(path, detail=f"this store gives no {algorithm} checksum")

    def usage(self, path: str) -> Usage:
        """Return how full the part of the store is that holds `path`."""
        raise Unsupported(path, detail="this store does not tell its usage")

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """Return the user's extended attributes, without the `user.` prefix."""
        raise Unsupported(path, detail="this store has no extended attributes")

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        """Set attributes in order, removing those whose value is None; stop at a refusal."""
        raise Unsupported(path, detail="this store has no extended attributes")

    def refresh(self, path: str) -> None:
        """Have what a cache remembers of `path` asked for anew; Unavailable when it cannot be."""

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove temporaries that no living writer owns; return how many there were."""
        return 0
