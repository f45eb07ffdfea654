"""Write-back: writes are accepted into a journal on this machine and uploaded afterwards.

`cache = "write"` puts it around a store. What was accepted is shown at once, as if the store had
it. Names change at the store at once; see `renaming`.
"""

import hashlib
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from cache.journal import Journal
from cache.pending import Look
from cache.spool import Spool
from providers.base import Capabilities, Content, Entry, Provider, Reader, Usage, Writer
from providers.errors import (
    Changed,
    NoSpace,
    NotADirectory,
    NotFound,
    StorageError,
    Unavailable,
    Unsupported,
)
from providers.names import check_path, join, parent
from providers.overlay import NAMES_SECONDS, TRIES, Overlay, shown
from providers.renaming import Renaming
from providers.spooled import ShownReader, SpoolReader, SpoolWriter, entry_of, journalled
from providers.uploader import Call, Uploader, call_directly
from providers.wrap import Wrapper

_BATCH = 256
_BLOCK_BYTES = 1 << 20
_PAUSE_SECONDS = 0.005

T = TypeVar("T")


class WriteBackProvider(Wrapper):
    """Shows a store with what is pending for it. All attributes are fixed.

    It owns the journal and the provider inside; `call` calls the latter, under a breaker of its
    own, so that a store that is down hinders nobody who does not need it.
    """

    name = "write-back"

    def __init__(self, inner: Provider, journal: Journal, call: Call = call_directly) -> None:
        super().__init__(inner)
        self.journal = journal
        self._call = call
        self._uploader = Uploader(inner, journal, call)
        self._overlay = Overlay(inner, journal, call)
        self._renaming = Renaming(self._overlay, inner, journal, call)

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # as lazy as the inner one's
        """Return the inner store's capabilities; conditions are decided in the journal."""
        inner = self.inner.capabilities
        return replace(inner, conditional_create=inner.create, deferred=inner.create)

    # Reading

    def stat(self, path: str) -> Entry:
        return self._overlay.stat(path)

    def scandir(self, path: str) -> Iterator[Entry]:
        with journalled(path):
            if path and self.journal.look(check_path(path)).pending:
                raise NotADirectory(path)
            # Asked for first: what arrives while the origin is listed must not be missed.
            pending = set(self.journal.members(path))
        entries = self._call(path, self.inner.scandir, path)

        def step() -> list[Entry]:
            return list(islice(entries, _BATCH))

        while batch := self._call(path, step):
            with journalled(path):
                looks = self.journal.looks(path, [entry.name for entry in batch])
            for entry in batch:
                pending.discard(entry.name)
                look = looks.get(entry.name)
                yield entry if look is None else shown(entry, look)
        for name in sorted(pending):
            try:
                yield self.stat(join(path, name))
            except NotFound:
                continue

    def open(self, path: str) -> Reader:
        check_path(path)
        for _ in range(TRIES):
            with journalled(path):
                look = self.journal.look(path)
                if look.pending is not None:
                    descriptor = self.journal.open(look.pending)
                    if descriptor is None:
                        continue
                    return SpoolReader(entry_of(look.pending), descriptor)
            try:
                reader = self._call(path, self.inner.open, path)
            except NotFound:
                if self._same(path, look):
                    raise
                continue
            with journalled(path):
                again = self.journal.look(path)
            if again.pending is None:
                return ShownReader(shown(reader.entry, again), reader, self._call)
            reader.close()
        raise Unavailable(path, detail="it is changed all the time")

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        # Each is looked for in the journal first.
        return Provider.get_many(self, paths, size)

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        for _ in range(TRIES):
            with journalled(path):
                look = self.journal.look(check_path(path))
            if look.pending is None:
                if look.settled is not None and look.settled.token == expect:
                    expect = look.settled.version
                return self._call(path, self.inner.checksum, path, algorithm, expect=expect)
            if algorithm not in self.capabilities.checksums:
                raise Unsupported(path, detail=f"this store gives no {algorithm} checksum")
            if expect is not None and look.pending.token != expect:
                raise Changed(path)
            with journalled(path):
                descriptor = self.journal.open(look.pending)
            if descriptor is not None:
                return _digest(descriptor, algorithm)
        raise Unavailable(path, detail="it is changed all the time")

    def health(self) -> None:
        self._call("", self.inner.health)

    def close(self) -> None:
        """Let uploads go, to be begun again by whoever opens the journal next."""
        self._uploader.stop()
        self.journal.close()
        self.inner.close()

    # Writing

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        if not self.inner.capabilities.create:
            return self.inner.create(path, overwrite=overwrite, expect=expect)
        seen = self._overlay.target(path, overwrite=overwrite, expect=expect)
        size_max = self.capabilities.size_max
        if size_max is not None and (size_hint or 0) > size_max:
            raise NoSpace(path, detail=f"files have {size_max} bytes at most here")
        spool = self._spool(path)
        if size_hint:
            try:
                with journalled(path):
                    spool.expect(size_hint)
            except BaseException:
                spool.discard()
                raise

        def accept(spool: Spool) -> Entry:
            return self._overlay.accept(path, spool, seen, overwrite=overwrite, expect=expect)

        return SpoolWriter(path, spool, accept, random=False, size_max=size_max)

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        if not self.inner.capabilities.modify:
            return self.inner.modify(path, expect=expect)
        with self.open(path) as reader:
            version = reader.entry.version
            if expect is not None and expect != version:
                raise Changed(path)
            seen = self._overlay.target(path, expect=version)
            spool = self._spool(path)
            try:
                self._fill(path, spool, reader)
            except BaseException:
                spool.discard()
                raise

        def accept(spool: Spool) -> Entry:
            return self._overlay.accept(path, spool, seen, overwrite=True, expect=version)

        size_max = self.capabilities.size_max
        return SpoolWriter(path, spool, accept, random=True, size_max=size_max)

    # Names

    def mkdir(self, path: str) -> Entry:
        return self._renaming.mkdir(path)

    def remove(self, path: str, *, expect: str | None = None) -> None:
        self._renaming.remove(path, expect=expect)

    def rmdir(self, path: str) -> None:
        self._renaming.rmdir(path)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        return self._renaming.rename(source, target, overwrite=overwrite)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        return self._renaming.copy(source, target, overwrite=overwrite)

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        return self._renaming.set_mtime(path, mtime_ns)

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        if self.capabilities.xattrs:
            self._await_arrival(path)
        return self._call(path, self.inner.xattrs, path)

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        if self.capabilities.xattrs:
            self._await_arrival(path)
        self._renaming.set_xattrs(path, changes)

    def usage(self, path: str) -> Usage:
        with journalled(path):
            is_pending = self.journal.look(check_path(path)).pending is not None
        return self._call(path, self.inner.usage, parent(path) if is_pending else path)

    def sweep(self, *, older_than_seconds: float) -> int:
        with journalled(""):
            self.journal.sweep()
        return self._call("", self.inner.sweep, older_than_seconds=older_than_seconds)

    def flush(self, path: str = "", *, seconds: float) -> bool:
        """Wait until nothing at or beneath `path` waits to be uploaded, but what is stuck.

        Returns False when that takes longer than `seconds`.
        """
        end = time.monotonic() + seconds
        self._uploader.hurry()
        with journalled(path):
            while self.journal.is_active(path):
                if time.monotonic() > end:
                    return False
                time.sleep(_PAUSE_SECONDS)
        return True

    def _spool(self, path: str) -> Spool:
        with journalled(path):
            return self.journal.spool()

    def _fill(self, path: str, spool: Spool, reader: Reader) -> None:
        with journalled(path):
            if isinstance(reader, SpoolReader):
                spool.take_from(reader.descriptor)
                return
            offset = 0
            while block := reader.read_at(offset, _BLOCK_BYTES):
                spool.write_at(offset, block)
                offset += len(block)

    def _await_arrival(self, path: str) -> None:
        """Wait until the store has what is pending at `path`, since it keeps more than bytes."""
        with journalled(path):
            if not self.journal.look(check_path(path)).pending:
                return
            arrived = self.flush(path, seconds=NAMES_SECONDS)
            if not arrived or self.journal.look(path).pending:
                raise Unavailable(path, detail="it is still to be uploaded", retry_after_seconds=5)

    def _same(self, path: str, look: Look) -> bool:
        with journalled(path):
            return self.journal.look(path) == look


def _digest(descriptor: int, algorithm: str) -> bytes:
    """Return the digest of a content, and close it."""
    adler, digest = 1, None if algorithm == "adler32" else hashlib.new(algorithm)
    try:
        offset = 0
        while block := os.pread(descriptor, _BLOCK_BYTES, offset):
            offset += len(block)
            if digest is None:
                adler = zlib.adler32(block, adler)
            else:
                digest.update(block)
    finally:
        os.close(descriptor)
    return adler.to_bytes(4, "big") if digest is None else digest.digest()
