"""Stretch: parts of a file on their way, with what the server tells of the file behind it."""

from collections.abc import Sequence

from providers.errors import StorageError
from providers.ssh import wire
from providers.ssh.exchange import Request
from providers.ssh.requests import Requests


def read_one(
    session: Requests, handle: bytes, offset: int, size: int
) -> tuple[bytes, wire.Attributes]:
    """Return one piece, at most `session.read_size`, and what FSTAT tells behind it.

    What a Stretch does, with less around it: random reads come by thousands a second.
    """
    named = wire.string(handle)
    view = memoryview(bytearray(size))
    exchange = session.dialogue.exchange()
    read = Request(wire.READ, named + wire.span(offset, size), view=view, tag=wire.READ)
    session.dialogue.ask(exchange, (read, Request(wire.FSTAT, named)))
    session.dialogue.wait(exchange)
    replies = exchange.replies
    if len(replies) == 2 and replies[0][1] == wire.DATA and replies[1][1] == wire.ATTRS:  # noqa: PLR2004 - both
        count = replies[0][3]
        if count == size:
            return bytes(view), session.parse(wire.parse_attributes, replies[1][2])[0]
    stretch = Stretch(session, handle, ((offset, size),), view)
    attributes = stretch.finish()
    return bytes(view[: stretch.size]), attributes


class Stretch:
    """Asks for each (offset, size) of an open file, into `view` in order; used by one thread.

    The requests are sent when it is made; `finish` waits. Behind the last READ goes an FSTAT: a
    server handles what concerns one handle in order (section 6.1 of the draft), so what it tells
    was true when all the bytes had been read. Who drops a stretch leaves `view` to it.
    """

    def __init__(
        self,
        session: Requests,
        handle: bytes,
        spans: Sequence[tuple[int, int]],
        view: memoryview,
    ) -> None:
        self.offset = spans[0][0]
        self.view = view
        self.size = len(view)
        self.attributes: wire.Attributes | None = None
        self._session = session
        self._named = wire.string(handle)
        self._exchange = session.dialogue.exchange()
        step = session.read_size
        pieces: list[tuple[int, int, int]] = []
        at = 0
        for offset, size in spans:
            end = at + size
            pieces += [
                (start, min(start + step, end), offset - at) for start in range(at, end, step)
            ]
            at = end
        self._ask(pieces)

    def finish(self) -> wire.Attributes:
        """Return the attributes when all is here: `size` is then how much there was."""
        while self.attributes is None:
            self._session.dialogue.wait(self._exchange)
            again: list[tuple[int, int, int]] = []
            failure: StorageError | None = None
            told = None
            for tag, kind, body, size in self._exchange.replies:
                try:
                    if kind == wire.STATUS:
                        self._session.check(body)
                    elif tag is None:
                        self._session.expect(wire.ATTRS, kind)
                        told, _ = self._session.parse(wire.parse_attributes, body)
                        continue
                    else:
                        self._session.expect(wire.DATA, kind)
                except StorageError as error:
                    failure = failure or error
                    continue
                if tag is None:
                    raise self._session.dialogue.broken("it tells nothing of an open file")
                assert isinstance(tag, tuple)
                start, stop, shift = tag
                if size == 0:
                    self.size = min(self.size, start)
                elif start + size < stop:
                    again.append((start + size, stop, shift))
            self._exchange.replies.clear()
            if failure is not None:
                raise failure
            again = [piece for piece in again if piece[0] < self.size]
            if again:
                self._ask(again)
            else:
                self.attributes = told
        return self.attributes

    def _ask(self, pieces: list[tuple[int, int, int]]) -> None:
        requests = [
            Request(
                wire.READ,
                self._named + wire.span(shift + start, stop - start),
                tag=(start, stop, shift),
                view=self.view[start:stop],
            )
            for start, stop, shift in pieces
        ]
        requests.append(Request(wire.FSTAT, self._named))
        self._session.dialogue.ask(self._exchange, requests)
