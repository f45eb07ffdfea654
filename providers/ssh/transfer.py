"""Many pieces of one file at once: reading into a buffer, reading ahead, writing behind."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from providers.errors import Changed, StorageError
from providers.ssh import wire
from providers.ssh.exchange import Exchange, Reply, Request
from providers.ssh.requests import Requests

IN_FLIGHT: Final = 64


def read_into(session: Requests, handle: bytes, offset: int, view: memoryview) -> int:
    """Fill `view` from `offset` of an open file; return how much there was, less only at its end.

    Up to 64 pieces are asked for at once and received straight into `view`.
    """
    exchange = session.dialogue.exchange()
    named = wire.string(handle)
    end = len(view)
    asked = 0
    again: list[tuple[int, int]] = []
    failure: StorageError | None = None
    try:
        while True:
            batch = [_read(named, offset, view, start, stop) for start, stop in again]
            again = []
            while asked < end and exchange.outstanding + len(batch) < IN_FLIGHT:
                stop = min(asked + session.read_size, end)
                batch.append(_read(named, offset, view, asked, stop))
                asked = stop
            if batch:
                session.dialogue.ask(exchange, batch)
            if not exchange.outstanding:
                break
            session.dialogue.wait(exchange, exchange.outstanding // 2 if asked < end else 0)
            while exchange.replies:
                try:
                    start, stop, size = _piece(session, exchange.replies.popleft())
                except StorageError as error:
                    failure, end = failure or error, 0
                    continue
                if size == 0:
                    end = min(end, start)
                elif start + size < stop:
                    again.append((start + size, stop))
    except BaseException as error:
        if exchange.outstanding:
            session.dialogue.abort(error)
        raise
    if failure is not None:
        raise failure
    return end


def _read(named: bytes, offset: int, view: memoryview, start: int, stop: int) -> Request:
    return Request(
        wire.READ,
        named + wire.span(offset + start, stop - start),
        tag=(start, stop),
        view=view[start:stop],
    )


def _piece(session: Requests, reply: Reply) -> tuple[int, int, int]:
    """Return where a piece starts and stops, and how much of it came."""
    tag, kind, body, size = reply
    assert isinstance(tag, tuple)
    start, stop = tag
    if kind == wire.STATUS:
        session.check(body)
    else:
        session.expect(wire.DATA, kind)
    return start, stop, size


class _Slot:
    """One range on its way. Used by one thread."""

    __slots__ = ("came", "offset", "size", "view")

    def __init__(self, largest: int) -> None:
        self.view = memoryview(bytearray(largest))
        self.offset = 0
        self.size = 0
        self.came = 0

    def rest(self, named: bytes) -> Request:
        """Return the request for what has not come yet."""
        size = self.size - self.came
        parts = named + wire.span(self.offset + self.came, size)
        return Request(wire.READ, parts, tag=self, view=self.view[self.came : self.size])


def blocks(
    session: Requests, handle: bytes, offset: int, size: int, *, ahead: int = IN_FLIGHT
) -> Iterator[memoryview]:
    """Yield `size` bytes from `offset` in order, block by block, as `ranges` does."""
    step = session.read_size
    end = offset + size
    spans = ((start, min(step, end - start)) for start in range(offset, end, step))
    return ranges(session, handle, spans, ahead=ahead)


def ranges(
    session: Requests, handle: bytes, spans: Iterable[tuple[int, int]], *, ahead: int = IN_FLIGHT
) -> Iterator[memoryview]:
    """Yield the bytes of each (offset, size), in order, asking `ahead` of them ahead.

    A size is at most `session.read_size`. The memory that is yielded is used again when the next
    one is taken. Raises Changed when the file ends early. Who leaves early waits for the rest.
    """
    exchange = session.dialogue.exchange()
    named = wire.string(handle)
    wanted = iter(spans)
    waiting: deque[_Slot] = deque()
    free: list[_Slot] = []
    try:
        while True:
            if len(waiting) <= ahead - max(1, ahead // 4):
                batch = []
                for offset, size in itertools.islice(wanted, ahead - len(waiting)):
                    slot = free.pop() if free else _Slot(session.read_size)
                    slot.offset, slot.size, slot.came = offset, size, 0
                    waiting.append(slot)
                    batch.append(slot.rest(named))
                if batch:
                    session.dialogue.ask(exchange, batch)
            if not waiting:
                return
            first = waiting[0]
            while first.came < first.size:
                if not exchange.replies:
                    session.dialogue.wait(exchange, exchange.outstanding - 1)
                again = _arrived(session, named, exchange)
                if again is not None:
                    session.dialogue.ask(exchange, (again,))
            yield first.view[: first.size]
            free.append(waiting.popleft())
    finally:
        # Nothing may be received into memory that was given back.
        if exchange.outstanding and session.alive:
            session.dialogue.wait(exchange)


def _arrived(session: Requests, named: bytes, exchange: Exchange) -> Request | None:
    tag, kind, body, size = exchange.replies.popleft()
    assert isinstance(tag, _Slot)
    if kind == wire.STATUS:
        session.check(body)
    else:
        session.expect(wire.DATA, kind)
    if size == 0:
        raise Changed(detail="the file is shorter than it was when it was opened")
    tag.came += size
    return tag.rest(named) if tag.came < tag.size else None


class Upload:
    """Writes to an open file, up to 64 pieces at once. Used by one thread.

    `write` returns when the pieces are sent. What the server refuses is raised by a later `write`
    or by `finish`, which alone says that all has arrived.
    """

    def __init__(self, session: Requests, handle: bytes) -> None:
        self._session = session
        self._named = wire.string(handle)
        self._exchange = session.dialogue.exchange()
        self._failure: StorageError | None = None

    def write(self, offset: int, data: wire.Bytes) -> None:
        """Send `data` for `offset`; raise what the server said of earlier pieces."""
        view = memoryview(data)
        size = self._session.write_size
        for start in range(0, len(view), size):
            self.write_piece(offset + start, view[start : start + size])

    def write_piece(self, offset: int, *parts: wire.Bytes) -> None:
        """Send parts that follow each other as one piece, at most `write_size` together."""
        head = self._named + wire.span(offset, sum(map(len, parts)))
        self._session.dialogue.ask(self._exchange, (Request(wire.WRITE, head, *parts),))
        if self._exchange.outstanding >= IN_FLIGHT:
            self._session.dialogue.wait(self._exchange, IN_FLIGHT // 2)
        self._check()

    def finish(self) -> None:
        """Return when the server has taken every piece; raise what it refused."""
        self._session.dialogue.wait(self._exchange)
        self._check()

    def _check(self) -> None:
        replies = self._exchange.replies
        while replies and self._failure is None:
            _, kind, body, _ = replies.popleft()
            self._session.expect(wire.STATUS, kind)
            try:
                self._session.check(body)
            except StorageError as error:
                self._failure = error
        if self._failure is not None:
            raise self._failure
