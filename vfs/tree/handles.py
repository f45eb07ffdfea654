"""Readers and writers as the tree hands them out: made by `Replica.hand_out`, counted out here."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from providers.base import Entry, Reader, Writer
from providers.errors import StorageError
from vfs.tree.computed import ComputedReader, Encode
from vfs.tree.mounts import Replica


class TreeReader(Reader):
    """A provider's reader that reports its errors and keeps its store from being closed."""

    def __init__(self, reader: Reader, replica: Replica, path: str) -> None:
        self.remarks = reader.remarks
        self._reader = reader
        self._replica = replica
        self._path = path
        self._open = True

    @cached_property
    def entry(self) -> Entry:  # type: ignore[override] # nobody sets it
        """The provider's reader's."""
        return self._reader.entry

    def read_at(self, offset: int, size: int) -> bytes:
        """Read through the breaker."""
        return self._replica.call(self._path, self._reader.read_at, offset, size)

    def read_now(self, offset: int, size: int) -> bytes | bytearray | None:
        """Read what is in memory, which needs no breaker."""
        try:
            return self._reader.read_now(offset, size)
        except StorageError as error:
            raise error.at(
                provider=self._replica.provider.name, operation="read_now", path=self._path
            ) from None

    def pieces(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """Read through the breaker, piece by piece; no call is under way while one is used."""
        pieces = self._reader.pieces(offset, size)
        while (piece := self._replica.call(self._path, next, pieces, None)) is not None:
            yield piece

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Read through the breaker, piece by piece."""
        pieces = self._reader.read_many(spans)
        while (piece := self._replica.call(self._path, next, pieces, None)) is not None:
            yield piece

    def coded(self, coding: str, encode: Encode) -> Reader | None:
        """Return a reader of what is kept of it in a content coding, None where nothing is."""
        if not isinstance(self._reader, ComputedReader):
            return None
        found = self._replica.call(self._path, self._reader.coded, coding, encode)
        if found is None:
            return None
        self._replica.acquire()
        return TreeReader(found, self._replica, self._path)

    def fileno(self) -> int | None:
        """Return the descriptor of the provider's reader."""
        return self._reader.fileno()

    @property
    def is_final(self) -> bool:  # type: ignore[override] # nobody sets it
        """Whether the provider's reader reads what nobody changes."""
        return self._reader.is_final

    def prepare(self) -> None:
        """Prepare the provider's reader."""
        self._replica.call(self._path, self._reader.prepare)
        self.remarks = self._reader.remarks

    def check(self, sent: int = 0) -> None:
        """Check the provider's reader."""
        self._replica.call(self._path, self._reader.check, sent)

    def close(self) -> None:
        """Close the provider's reader, once."""
        if self._open:
            self._open = False
            try:
                self._reader.close()
            finally:
                self._replica.release()


class TreeWriter(Writer):
    """A provider's writer that tells the tree what it committed.

    `created` says whether nothing stands at the path: when the writer is made, and then, if the
    store tells, when it commits.
    """

    def __init__(
        self,
        writer: Writer,
        replica: Replica,
        path: str,
        *,
        created: bool,
        committed: Callable[[Entry], None] | None = None,
    ) -> None:
        self.created = created if writer.replaces is None else not writer.replaces
        self._writer = writer
        self._replica = replica
        self._path = path
        self._committed = committed
        self._open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write through the breaker."""
        self._replica.call(self._path, self._writer.write, data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write through the breaker."""
        self._replica.call(self._path, self._writer.write_at, offset, data)

    def truncate(self, size: int) -> None:
        """Truncate through the breaker."""
        self._replica.call(self._path, self._writer.truncate, size)

    def fileno(self) -> int | None:
        """Return the descriptor of the provider's writer."""
        return self._writer.fileno()

    def commit(self) -> Entry:
        """Commit, then tell the tree."""
        try:
            entry = self._replica.call(self._path, self._writer.commit)
        finally:
            self._close()
        if self._writer.replaces is not None:
            self.created = not self._writer.replaces
        if self._committed is not None:
            self._committed(entry)
        return entry

    def abort(self) -> None:
        """Abort the provider's writer; nothing after a commit."""
        if self._open:
            try:
                self._writer.abort()
            finally:
                self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._replica.release()
