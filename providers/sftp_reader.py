"""SftpReader: one version of one file, over one session or several."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from providers.base import Entry, Reader
from providers.errors import BadRange, Changed, IsADirectory, Unavailable
from providers.sftp_grip import Grip, check, held, helpers, is_fresh
from providers.sftp_memory import STRETCH_BYTES
from providers.sftp_scatter import Scatter
from providers.sftp_site import SftpSite, Told, entry_of, seen, version_of
from providers.ssh import wire
from providers.ssh.exchange import Request
from providers.ssh.session import SftpSession
from providers.ssh.stretch import Stretch, read_one
from providers.ssh.wire import Attributes

AHEAD_BYTES_MAX: Final = 16 << 20
"""What one reader that reads in order has on its way, at most."""

_HEAD_BYTES = 64 << 10  # a file up to this size comes with its opening
_FIRST_AHEAD_BYTES = 4 << 20
_FIRST_AHEAD_PIECES = 4
_WIDEN_STRETCHES = 8  # so often it is asked whether other sessions can help
_STRIPED_BYTES = 8 << 20  # with less to come another session is not worth its opening


class SftpReader(Reader):
    """Reads by a handle that stays open, so that a file that is renamed over does not matter.

    Behind each answer the server is asked for size and time: a file that was written in place is
    Changed. `entry`, `_site` and `_path` are fixed. `_order` is held by the one thread that reads
    in order, and guards `_train` and `_next`; others go past it. `_lock` guards `_grip` and
    `_closed`.
    """

    reads_ahead = True

    def __init__(self, site: SftpSite, path: str) -> None:
        self._site = site
        self._path = path
        self._lock = threading.Lock()
        self._order = threading.Lock()
        self._train: _Train | None = None
        self._next = -1
        self._closed = False
        self._grip, attributes, self._head = site.pool.ask(self._open)
        self.entry: Entry = seen(path, attributes)

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")
        size = min(size, self.entry.size - offset)
        if size <= 0:
            return b""
        if offset + size <= len(self._head):
            return self._head[offset : offset + size]
        with Told(self._path):
            try:
                return self._read(offset, size)
            except Unavailable:
                if self._grip.session.alive:
                    raise
            self._reopen()
            return self._read(offset, size)

    def pieces(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        if offset < 0 or size < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")
        end = min(offset + size, self.entry.size)
        while offset < end:
            with Told(self._path):
                try:
                    piece = self._piece(offset, end - offset)
                except Unavailable:
                    if self._grip.session.alive:
                        raise
                    self._reopen()
                    piece = self._piece(offset, end - offset)
            yield piece
            offset += len(piece)

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        pending = iter(spans)
        while True:
            scatter = Scatter(self._site, self._path, self._grip, self.entry, pending)
            with Told(self._path):
                for offset, size, data in scatter.run():
                    # What is not read there goes by `read_at`: also all that a cut has lost.
                    yield self.read_at(offset, size) if data is None else data
            if not scatter.is_cut:
                return

    def close(self) -> None:
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            with self._order:
                self._drop_train()
            self._grip.leave()

    def _read(self, offset: int, size: int) -> bytes:
        """Read by the train of those who read in order, or by one for this piece alone."""
        if size > STRETCH_BYTES or not self._order.acquire(blocking=False):
            return self._read_alone(offset, size)
        try:
            train = self._train_at(offset, size)
            if train is not None:
                try:
                    return train.take(size)
                except BaseException:
                    self._drop_train()
                    raise
        finally:
            self._order.release()
        return self._read_alone(offset, size)

    def _piece(self, offset: int, most: int) -> bytes | memoryview:
        """Return some of the bytes from `offset`."""
        if offset < len(self._head):
            return self._head[offset : offset + most]
        if not self._order.acquire(blocking=False):
            return self._read_alone(offset, min(most, STRETCH_BYTES))
        try:
            train = self._train_at(offset, most)
            if train is not None:
                try:
                    return train.piece(most)
                except BaseException:
                    self._drop_train()
                    raise
        finally:
            self._order.release()
        return self._read_alone(offset, most)

    def _train_at(self, offset: int, size: int) -> "_Train | None":
        """Return the train that comes to `offset` next, if there is one or it is worth one."""
        if self._train is not None and self._train.offset != offset:
            self._drop_train()
        follows, self._next = offset == self._next, offset + min(size, STRETCH_BYTES)
        if self._train is None and (follows or size > STRETCH_BYTES):
            span = (offset, self.entry.size)
            self._train = _Train(self._site, self._path, self._grip, self.entry, span)
            if not self._site.is_far:
                # Two small pieces in a row may be chance, and what comes in vain is in the way.
                self._train.ahead = min(_FIRST_AHEAD_BYTES, _FIRST_AHEAD_PIECES * size)
        return self._train

    def _read_alone(self, offset: int, size: int) -> bytes:
        grip = self._grip
        if size <= grip.session.read_size:
            data, attributes = read_one(grip.session, grip.handle, offset, size)
            check(self.entry, whole=len(data) == size, attributes=attributes)
            return data
        end = offset + size
        train = _Train(self._site, self._path, self._grip, self.entry, (offset, end))
        try:
            return train.take(size)
        finally:
            train.close()

    def _drop_train(self) -> None:
        train, self._train = self._train, None
        if train is not None:
            train.close()

    def _open(self, session: SftpSession) -> tuple[Grip, Attributes, bytes]:
        found = self._site.find(session, self._path)
        if found.is_folder:
            raise IsADirectory
        # Before it is opened: the opening of a FIFO would hold up the server.
        entry_of("", found)
        small = (found.size or 0) <= _HEAD_BYTES
        handle = session.open(self._site.place(self._path))
        grip = Grip(session, handle)
        try:
            if not small:
                # Not asked for once more: each read asks, so another file here by now is Changed.
                return grip, found, b""
            return grip, *_whole(session, handle, found.size or 0)
        except BaseException:
            grip.leave()
            raise

    def _reopen(self) -> None:
        """Take hold of the same version in another session, because this one was cut."""
        with self._lock:
            if self._grip.session.alive or self._closed:
                return
            if is_fresh(self.entry):
                raise Unavailable(
                    detail="the connection was cut, and the file is so new that it cannot be told "
                    "from another one; read it again"
                )
            with self._site.pool.lease() as session:
                found = self._site.find(session, self._path)
                if version_of(found) != self.entry.version:
                    raise Changed
                grips = held(self._site, (session,), self._path, self.entry.version)
            if not grips:
                if not session.alive:  # which says nothing of the file
                    raise Unavailable(detail="the connection was cut once more; read it again")
                raise Changed
            self._grip = grips[0]


class _Train:
    """Stretches of one file that follow each other, some of them on their way. Used by one thread.

    `offset` is where the next byte comes from; `span` is from where to where all of it goes;
    `ahead` is how much is asked for ahead, more the longer it goes on. The sessions that have
    nothing to do help, each with a handle of its own.
    """

    def __init__(
        self, site: SftpSite, path: str, grip: Grip, entry: Entry, span: tuple[int, int]
    ) -> None:
        self.offset, self._end = span
        self._site = site
        self._path = path
        self._entry = entry
        self._grips = [grip]
        self._asked = self.offset
        self._line: deque[Stretch] = deque()
        self.ahead = _FIRST_AHEAD_BYTES
        self._turn = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; Changed when they are of another version."""
        parts: list[memoryview] = []
        while size:
            parts.append(self._part(size))
            size -= len(parts[-1])
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def piece(self, most: int) -> bytes | memoryview:
        """Return some of the next bytes; of a block of memory all, or a copy."""
        part = self._part(most)
        return part if len(part) == STRETCH_BYTES else bytes(part)

    def _part(self, most: int) -> memoryview:
        """Return some of the next bytes, and go on behind them."""
        first = self._first()
        start = self.offset - first.offset
        part = first.view[start : start + most]
        self.offset += len(part)
        if start + len(part) == len(first.view):
            self._line.popleft()
            self.ahead = min(2 * self.ahead, AHEAD_BYTES_MAX)
        return part

    def _first(self) -> Stretch:
        """Return the stretch where the next byte is, once it is here."""
        self._fill()
        if self._turn % _WIDEN_STRETCHES == _WIDEN_STRETCHES // 2:
            self._widen()
        first = self._line[0]
        if first.attributes is None:
            attributes = first.finish()
            check(self._entry, whole=first.size == len(first.view), attributes=attributes)
        return first

    def close(self) -> None:
        """Leave. What is still on its way is received by whoever uses the session next."""
        self._line.clear()
        for grip in self._grips[1:]:
            grip.leave()
            self._site.pool.give_back(grip.session)
        del self._grips[1:]

    def _fill(self) -> None:
        on_the_way = self._asked - self.offset
        while self._asked < self._end and (not self._line or on_the_way < self.ahead):
            size = min(STRETCH_BYTES, self._end - self._asked)
            grip = self._grips[self._turn % len(self._grips)]
            self._turn += 1
            memory = self._site.memory.take()
            view = memory if size == STRETCH_BYTES else memory[:size]
            self._line.append(Stretch(grip.session, grip.handle, ((self._asked, size),), view))
            self._asked += size
            on_the_way += size

    def _widen(self) -> None:
        """Let sessions help that have nothing to do, if there is enough left for them."""
        if self._end - self._asked >= _STRIPED_BYTES:
            self._grips += helpers(self._site, self._grips, self._path, self._entry)


def _whole(session: SftpSession, handle: bytes, size: int) -> tuple[Attributes, bytes]:
    """Return the attributes and all bytes of a small file, in one round trip if it stays as it is.

    No bytes when it did not: they are read when they are wanted.
    """
    before = session.dialogue.exchange()
    session.dialogue.ask(before, (Request(wire.FSTAT, wire.string(handle)),))
    stretch = Stretch(session, handle, ((0, size),), memoryview(bytearray(size)))
    session.dialogue.wait(before)
    _, kind, body, _ = before.replies.popleft()
    if kind == wire.STATUS:
        session.check(body)
    session.expect(wire.ATTRS, kind)
    attributes, _ = session.parse(wire.parse_attributes, body)
    same = version_of(attributes) == version_of(stretch.finish())
    if not same or stretch.size != size or attributes.size != size:
        return attributes, b""
    return attributes, bytes(stretch.view)
