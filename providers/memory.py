"""The reference store: everything in the memory of this process, gone at exit.

Three ideas carry it, and a further store needs its own answer to each:

- What is handed out never changes. An Entry and a committed content are fixed, so a reader pins
  its version by holding both, and needs no lock.
- A writer fills a content that nobody else can see. Commit checks and swaps under the lock.
- A listing asks for one page at a time and goes on behind the last name it gave.
"""

import hashlib
import itertools
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec.structs import replace

from providers.base import Capabilities, Entry, Kind, Options, Provider, Reader, Usage, Writer
from providers.errors import (
    AlreadyExists,
    BadRange,
    Changed,
    Denied,
    InvalidPath,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotEmpty,
    NotFound,
    Unsupported,
)
from providers.names import basename, check_path, parent
from providers.nodes import File, Folder
from providers.sparse import CHUNK_BYTES, SparseBytes


class MemoryOptions(Options, frozen=True):
    """What a mount may say to the memory store."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The capacity, counting unfinished writes; None sets no limit. Holes cost nothing."""


class MemoryProvider(Provider):
    """Keeps files and folders in memory.

    `capabilities` and `_capacity` are fixed. `_lock` guards the nodes below `_root` and `_used`.
    """

    name = "memory"
    options = MemoryOptions
    one_process = True
    prompt = True
    capabilities = Capabilities(
        create=True,
        modify=True,
        mkdir=True,
        remove=True,
        rename=True,
        copy=True,
        set_mtime=True,
        usage=True,
        xattrs=True,
        checksums=frozenset({"md5", "sha256"}),
        exclusive_create=True,
        conditional_create=True,
    )

    def __init__(self, options: MemoryOptions) -> None:
        self._capacity = options.size_bytes
        self._lock = threading.RLock()
        self._used = 0
        # The token keeps a version of an earlier process from meeting other bytes in this one.
        self._token = secrets.token_hex(4)
        self._counter = itertools.count(1)
        self._root = Folder(self._entry("", Kind.FOLDER))

    def stat(self, path: str) -> Entry:
        with self._lock:
            return self._root.find(path).entry

    def scandir(self, path: str) -> Iterator[Entry]:
        with self._lock:
            folder = self._root.find_folder(path)
        last = ""  # comes before every name
        while True:
            with self._lock:
                page = folder.page_after(last)
            if not page:
                return
            yield from page
            last = page[-1].name

    def open(self, path: str) -> Reader:
        with self._lock:
            file = self._root.find_file(path)
            return _MemoryReader(file.entry, file.content)

    def health(self) -> None:
        pass

    def close(self) -> None:
        pass

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        with self._lock:
            self._check_target(path, overwrite=overwrite, expect=expect)
            self._check_space(path, size_hint or 0)
        return _MemoryWriter(self, path, SparseBytes(), overwrite=overwrite, expect=expect)

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        with self._lock:
            file = self._root.find_file(path, expect)
            content = SparseBytes(file.content)
            self.reserve(path, content.held)
        return _MemoryWriter(self, path, content, expect=expect, modified=file)

    def mkdir(self, path: str) -> Entry:
        with self._lock:
            folder, old = self._slot(path)
            if old is not None:
                raise AlreadyExists(path)
            return folder.put(Folder(self._entry(basename(path), Kind.FOLDER)))

    def remove(self, path: str, *, expect: str | None = None) -> None:
        with self._lock:
            self.reserve(path, -self._root.find_file(path, expect).content.held)
            self._root.find_folder(parent(path)).pop(basename(path))

    def rmdir(self, path: str) -> None:
        with self._lock:
            if not path:
                raise Denied(path, detail="the root of a store stays")
            if self._root.find_folder(path).members:
                raise NotEmpty(path)
            self._root.find_folder(parent(path)).pop(basename(path))

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        with self._lock:
            node = self._root.find(source)
            if not source:
                raise Denied(source, detail="the root of a store stays")
            if isinstance(node, Folder) and target.startswith(source + "/"):
                raise InvalidPath(target, detail="a folder cannot move into itself")
            if isinstance(node, Folder):
                folder, old = self._slot(target)
                if old is not None:
                    raise (AlreadyExists if isinstance(old, Folder) else NotADirectory)(target)
            else:
                folder, old = self._check_target(target, overwrite=overwrite)
            if old is node:
                return node.entry
            if isinstance(old, File):
                self.reserve(target, -old.content.held)
            self._root.find_folder(parent(source)).pop(basename(source))
            node.entry = replace(node.entry, name=basename(target))
            return folder.put(node)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        with self._lock:
            file = self._root.find_file(source)
            self._check_target(target, overwrite=overwrite)
            self.reserve(target, file.content.held)
            return self.publish(target, file.content, xattrs=file.xattrs)

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        with self._lock:
            node = self._root.find(path)
            node.entry = replace(node.entry, mtime_ns=mtime_ns)
            return node.entry

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        if algorithm not in self.capabilities.checksums:
            raise Unsupported(path, detail=f"this store gives no {algorithm} checksum")
        with self._lock:
            content = self._root.find_file(path, expect).content
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for offset in range(0, content.size, CHUNK_BYTES):
            digest.update(content.get(offset, CHUNK_BYTES))
        return digest.digest()

    def usage(self, path: str) -> Usage:
        with self._lock:
            self._root.find(path)
            free = None if self._capacity is None else self._capacity - self._used
            return Usage(used=self._used, available=free)

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        with self._lock:
            return dict(self._root.find(path).xattrs)

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        with self._lock:
            node = self._root.find(path)
            merged = {**node.xattrs, **changes}
            node.xattrs = {key: value for key, value in merged.items() if value is not None}

    def reserve(self, path: str, size: int) -> None:
        """Count `size` more bytes as used, or fewer when negative; NoSpace."""
        with self._lock:
            self._check_space(path, size)
            self._used += size

    def publish(
        self,
        path: str,
        content: SparseBytes,
        *,
        xattrs: Mapping[str, bytes] | None = None,
        overwrite: bool = True,
        expect: str | None = None,
    ) -> Entry:
        """Put a file whose bytes are reserved in its place; the old one's are released."""
        with self._lock:
            folder, old = self._check_target(path, overwrite=overwrite, expect=expect)
            if isinstance(old, File):
                self.reserve(path, -old.content.held)
            entry = self._entry(basename(path), Kind.FILE, content.size)
            return folder.put(File(entry, content, xattrs or {}))

    def _entry(self, name: str, kind: Kind, size: int = 0) -> Entry:
        version = f"{self._token}-{next(self._counter)}"
        return Entry(name, kind, size, time.time_ns(), version)

    def _check_space(self, path: str, size: int) -> None:
        if size > 0 and self._capacity is not None and self._used + size > self._capacity:
            raise NoSpace(path, detail=f"the store holds {self._capacity} bytes at most")

    def _slot(self, path: str) -> tuple[Folder, File | Folder | None]:
        """Return the parent of `path`, where a name may be put, and what stands there now."""
        name = basename(check_path(path))
        if len(name.encode(errors="surrogateescape")) > self.capabilities.name_max_bytes:
            raise InvalidPath(path, detail="the name is longer than 255 bytes")
        folder = self._root.find_folder(parent(path))
        return folder, folder.members.get(name) if path else self._root

    def _check_target(
        self, path: str, *, overwrite: bool, expect: str | None = None
    ) -> tuple[Folder, File | None]:
        """Return where a file may be put; raise what forbids it."""
        folder, old = self._slot(path)
        if isinstance(old, Folder):
            raise IsADirectory(path)
        if old is not None and not overwrite:
            raise AlreadyExists(path)
        if expect is not None and old is None:
            raise NotFound(path)
        if expect is not None and old is not None and old.entry.version != expect:
            raise Changed(path)
        return folder, old


class _MemoryReader(Reader):
    """Reads a content that never changes, so it needs no lock."""

    def __init__(self, entry: Entry, content: SparseBytes) -> None:
        self.entry = entry
        self._content = content

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise BadRange(detail="offset and size may not be negative")
        return self._content.get(offset, size)

    def read_now(self, offset: int, size: int) -> bytes:
        return self.read_at(offset, size)

    def close(self) -> None:
        pass


class _MemoryWriter(Writer):
    """Fills a content of its own. One thread at a time, so it needs no lock."""

    def __init__(
        self,
        store: MemoryProvider,
        path: str,
        content: SparseBytes,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        modified: File | None = None,
    ) -> None:
        self._store = store
        self._path = path
        self._content: SparseBytes | None = content
        self._overwrite = overwrite
        self._expect = expect
        self._modified = modified

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._put(self._open().size, data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._check_random(offset)
        self._put(offset, data)

    def truncate(self, size: int) -> None:
        self._check_random(size)
        content = self._open()
        before = content.held
        content.truncate(size)
        self._store.reserve(self._path, content.held - before)

    def commit(self) -> Entry:
        content = self._open()
        content.freeze()
        try:
            entry = self._store.publish(
                self._path,
                content,
                xattrs=self._modified.xattrs if self._modified else None,
                overwrite=self._overwrite,
                expect=self._expect,
            )
        except BaseException:
            self.abort()
            raise
        self._content = None
        return entry

    def abort(self) -> None:
        if self._content is not None:
            self._store.reserve(self._path, -self._content.held)
            self._content = None

    def _open(self) -> SparseBytes:
        if self._content is None:
            raise ValueError("this writer is finished: it was committed or aborted")
        return self._content

    def _put(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        content = self._open()
        before = content.held
        content.put(offset, data)
        try:
            self._store.reserve(self._path, content.held - before)
        except NoSpace:
            content.held = before
            self.abort()
            raise

    def _check_random(self, offset: int) -> None:
        if self._modified is None:
            raise Unsupported(self._path, detail="this writer only appends")
        if offset < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")
