"""Body: what a client sends after the head, read as it is asked for."""

from collections.abc import Iterator

import httptools

from vfs.http.bad_request import BadRequest
from vfs.http.head import Head
from vfs.http.line import Line
from vfs.http.pace import Pace

FRAMING_BYTES = 64 * 1024
"""Chunk sizes, extensions and trailers beyond the least that the chunks themselves need."""

FRAMING_PER_BYTE = 8
"""What a client may spend on framing for each byte that it sends, one-byte chunks included."""

DRAIN_BYTES = 64 * 1024
"""An unread rest up to this size is read away, to keep the connection."""

RECEIVE_BYTES = 256 * 1024

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Body:
    """The body of one request, for `wsgi.input`. One thread at a time.

    `100 Continue` is sent at the first read, so whoever refuses a request before reading gets it
    without its body. A body that ends early raises BadRequest: it never looks complete.
    `received` counts the bytes that were read.
    """

    def __init__(self, line: Line, head: Head, content: bytes | None = None) -> None:
        """Read from `line`; or from `content`, when all of it came with the head."""
        self.received = 0
        self._line = line
        self._continue = head.expects_continue and content is None
        self._pace: Pace | None = None
        self._source: _Chunks | _Counted | _Content
        if content is not None:
            self._source = _Content(content)
        else:
            self._source = _Chunks(line) if head.chunked else _Counted(line, head.length)

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer only at the end; all of them without `size`."""
        if size == 0 or self._is_over():
            return b""
        self._begin()
        if size > 0:
            first = self._take(size)
            if len(first) == size or self._is_over():
                return first
            size -= len(first)
            parts = [first]
        else:
            parts = []
        while size and not self._is_over():
            part = self._take(size if size > 0 else RECEIVE_BYTES)
            parts.append(part)
            if size > 0:
                size -= len(part)
        return b"".join(parts)

    def readline(self, size: int = -1) -> bytes:
        """Return one line; here for what expects a whole file object, one byte at a time."""
        line = bytearray()
        while len(line) != size and (byte := self.read(1)):
            line += byte
            if byte == b"\n":
                break
        return bytes(line)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def settle(self) -> bool:
        """Read a small rest away without waiting; tell whether the connection can go on."""
        if self._is_over():
            return not self._source.overran
        if self._continue:
            return False
        drained = 0
        try:
            while not self._is_over() and drained < DRAIN_BYTES:
                size = self._source.take_now(DRAIN_BYTES)
                if size is None:
                    return False
                drained += size
        except BadRequest:
            # The answer is made already; what was not asked for cannot change it.
            return False
        return self._is_over() and not self._source.overran

    def _is_over(self) -> bool:
        return self._source.finished

    def _begin(self) -> None:
        if self._pace is None:
            self._pace = Pace(self._line)
        if self._continue:
            self._continue = False
            self._line.send(CONTINUE)

    def _take(self, size: int) -> bytes:
        assert self._pace is not None
        data = self._source.take(size)
        self.received += len(data)
        self._pace.add(len(data))
        return data


class _Counted:
    """A body whose length the head told."""

    overran = False

    def __init__(self, line: Line, length: int) -> None:
        self._line = line
        self._left = length

    @property
    def finished(self) -> bool:
        return self._left == 0

    def take(self, size: int) -> bytes:
        data = self._line.receive(min(size, self._left))
        if not data:
            raise _cut(f"{self._left} bytes of it are missing")
        self._left -= len(data)
        return data

    def take_now(self, size: int) -> int | None:
        data = self._line.receive_now(min(size, self._left))
        if not data:
            return None
        self._left -= len(data)
        return len(data)


class _Content:
    """A body that is there already."""

    overran = False

    def __init__(self, content: bytes) -> None:
        self._left = content

    @property
    def finished(self) -> bool:
        return not self._left

    def take(self, size: int) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data

    def take_now(self, size: int) -> int:
        return len(self.take(size))


class _Chunks:
    """A body in chunks, taken apart by llhttp."""

    def __init__(self, line: Line) -> None:
        self.overran = False
        self._line = line
        self._ready = bytearray()
        self._complete = False
        self._fed = 0
        self._given = 0
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")

    @property
    def finished(self) -> bool:
        return self._complete and not self._ready

    def on_body(self, data: bytes) -> None:
        """Take one piece from llhttp."""
        self._ready += data
        self._given += len(data)

    def on_message_complete(self) -> None:
        """Take the end from llhttp."""
        self._complete = True

    def on_message_begin(self) -> None:
        """Take the start of a message: after the end it is a next request, which is lost."""
        self.overran = self._complete

    def take(self, size: int) -> bytes:
        while not self._ready and not self._complete:
            data = self._line.receive(RECEIVE_BYTES)
            if not data:
                raise _cut("its last chunk is missing")
            self._feed(data)
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def take_now(self, size: int) -> int | None:
        if not self._ready and not self._complete:
            data = self._line.receive_now(size)
            if not data:
                return None
            self._feed(data)
        taken = len(self._ready)
        self._ready.clear()
        return taken

    def _feed(self, data: bytes) -> None:
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.overran = True
        except httptools.HttpParserError as error:
            self.overran = True
            if not self._complete:
                raise BadRequest(400, f"the chunks of the body are malformed: {error}") from error
        if self._fed - self._given > FRAMING_BYTES + FRAMING_PER_BYTE * self._given:
            self.overran = True
            raise BadRequest(400, "the chunks of the body are nearly all framing")


def _cut(what: str) -> BadRequest:
    return BadRequest(400, f"the body was cut: {what}; nothing was stored")
