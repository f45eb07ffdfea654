"""Spooled: writers whose content goes to a journal, and readers of what is pending there."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cache.errors import JournalBusy, JournalError, JournalFull
from cache.pending import Pending
from cache.spool import Spool
from providers.base import Entry, Kind, Reader, Writer
from providers.errors import BadRange, NoSpace, Unavailable, Unsupported
from providers.names import basename

_LOG = logging.getLogger(__name__)

# When a client that was refused should come back.
_RETRY_SECONDS = 5.0


@contextmanager
def journalled(path: str) -> Iterator[None]:
    """Raise the leaf of StorageError for an error of the journal in a `with` block."""
    try:
        yield
    except JournalFull as error:
        raise NoSpace(
            path,
            detail=str(error),
            temporary=error.passing,
            retry_after_seconds=_RETRY_SECONDS if error.passing else None,
        ) from error
    except JournalBusy as error:
        raise Unavailable(path, detail=str(error), retry_after_seconds=_RETRY_SECONDS) from error
    except JournalError as error:
        # Its text may hold a path of this machine.
        _LOG.warning("the journal of pending writes: %s", error)
        raise Unavailable(
            path, detail="the gateway's journal cannot be used; see its log"
        ) from error


def entry_of(pending: Pending) -> Entry:
    """Return the entry of what is pending."""
    return Entry(basename(pending.path), Kind.FILE, pending.size, pending.mtime_ns, pending.token)


class SpoolWriter(Writer):
    """Fills a spool, and has it accepted at commit. All attributes are fixed."""

    def __init__(
        self,
        path: str,
        spool: Spool,
        accept: Callable[[Spool], Entry],
        *,
        random: bool,
        size_max: int | None,
    ) -> None:
        self._path = path
        self._spool = spool
        self._accept = accept
        self._random = random
        self._size_max = size_max

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._put(self._open().size, data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._check_random(offset)
        self._put(offset, data)

    def truncate(self, size: int) -> None:
        self._check_random(size)
        self._check_size(size)
        with journalled(self._path):
            self._open().truncate(size)

    def commit(self) -> Entry:
        spool = self._open()
        try:
            with journalled(self._path):
                return self._accept(spool)
        finally:
            spool.discard()

    def abort(self) -> None:
        self._spool.discard()

    def _open(self) -> Spool:
        if not self._spool.is_open:
            raise ValueError("this writer is finished: it was committed or aborted")
        return self._spool

    def _put(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        spool = self._open()
        self._check_size(offset + memoryview(data).nbytes)
        try:
            with journalled(self._path):
                spool.write_at(offset, data)
        except BaseException:
            spool.discard()
            raise

    def _check_random(self, offset: int) -> None:
        if not self._random:
            raise Unsupported(self._path, detail="this writer only appends")
        if offset < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")

    def _check_size(self, size: int) -> None:
        if self._size_max is not None and size > self._size_max:
            raise NoSpace(self._path, detail=f"files have {self._size_max} bytes at most here")


class SpoolReader(Reader):
    """Reads what is pending; it outlives the upload. `_descriptor` is -1 once it is closed."""

    def __init__(self, entry: Entry, descriptor: int) -> None:
        """Own `descriptor`."""
        self.entry = entry
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """The content itself; it stays the reader's."""
        return self._fd()

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise BadRange(detail="offset and size may not be negative")
        blocks = []
        end = min(offset + size, self.entry.size)
        with journalled(""):
            while offset < end:
                try:
                    block = os.pread(self._fd(), end - offset, offset)
                except OSError as error:
                    raise JournalError(f"a pending content cannot be read: {error}") from error
                if not block:
                    raise JournalError("a pending content is shorter than it was")
                blocks.append(block)
                offset += len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def fileno(self) -> int | None:
        return self._fd()

    def _fd(self) -> int:
        if self._descriptor < 0:
            raise ValueError("this reader is closed")
        return self._descriptor


class ShownReader(Reader):
    """A reader of the origin whose entry is shown as it was acknowledged. Attributes are fixed."""

    def __init__(self, entry: Entry, reader: Reader, call: Callable[..., bytes]) -> None:
        self.entry = entry
        self._reader = reader
        self._call = call

    def read_at(self, offset: int, size: int) -> bytes:
        return self._call("", self._reader.read_at, offset, size)

    def close(self) -> None:
        self._reader.close()

    def fileno(self) -> int | None:
        return self._reader.fileno()

    def check(self, sent: int = 0) -> None:
        self._reader.check()
