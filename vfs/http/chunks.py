"""Chunks: a body in chunks, taken apart where it was received.

What nearly all clients send, a size and its bytes, is recognised here, and its bytes are moved
together in their buffer. Whatever looks otherwise (extensions, the last chunk, trailers, mistakes)
is llhttp's from there to the end: it alone says what chunks are.
"""

import re
from collections.abc import Callable

import httptools

from vfs.http.bad_request import BadRequest
from vfs.http.line import Line

FRAMING_BYTES = 64 * 1024
"""Chunk sizes, extensions and trailers beyond the least that the chunks themselves need."""

FRAMING_PER_BYTE = 8
"""What a client may spend on framing for each byte that it sends, one-byte chunks included."""

RECEIVE_BYTES = 256 * 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_NEXT_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})\r\n")
_BEGINNING = re.compile(rb"(?:\r\n?)?[0-9A-Fa-f]{0,15}\r?")
_ROOM_BYTES = 64
"""What a buffer must have left to be worth receiving into: more than any size takes."""

LEAST_BYTES = 4 * _ROOM_BYTES
"""The smallest buffer that is filled."""


class Chunks:
    """The chunks of one body. One thread at a time.

    `fill` reads in place as long as all is plain, `take` by llhttp. `_left` is what is missing of
    the present chunk, `_is_behind` says that one has ended or will, and `_rest` is what was
    received of a size that is not all there. `_between` is how much stood between the last two.
    `_ready` is content that llhttp gave.
    """

    size = None

    def __init__(self, line: Line) -> None:
        self.overran = False
        self._line = line
        self._ready = bytearray()
        self._complete = False
        self._fed = 0
        self._given = 0
        self._is_odd = False
        self._left = 0
        self._is_behind = False
        self._between = 0
        self._rest = b""
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")

    @property
    def finished(self) -> bool:
        """Tell whether all was taken."""
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

    @property
    def movable(self) -> int:
        """How much of the present chunk is next in the socket."""
        return 0 if self._is_odd or self._rest else self._left

    def moved(self, size: int) -> None:
        """Note that some of the chunk was taken by another way."""
        self._left -= size
        self._fed += size
        self._given += size

    def advance(self) -> bool:
        """Receive what stands between two chunks, if it is as long as the last time; else False.

        Then nothing of the next chunk is received, and all of it can be moved.
        """
        if self._is_odd or self._ready or self._rest or self._left or not self._between:
            return False
        buffer = bytearray(self._between)
        received = self._line.receive_into(memoryview(buffer))
        if not received:
            raise cut("its last chunk is missing")
        self._fed += received
        data = bytes(buffer[:received])
        found = _NEXT_SIZE.fullmatch(data)
        self._left = int(found[1], 16) if found is not None else 0
        if not self._left:
            self._rest = data
            return False
        self._check_framing()
        return True

    def fill(self, buffer: memoryview, count: Callable[[int], None]) -> int:
        """Fill the buffer with content, which is counted; leave some room only at the end."""
        if self._is_odd or self._ready:
            return self._give(buffer, count)
        filled, start, end = 0, 0, len(self._rest)
        buffer[:end] = self._rest
        while True:
            before = filled
            filled, start = self._sort(buffer, filled, start, end)
            count(filled - before)
            self._rest = bytes(buffer[start:end])
            if self._odd():
                self._feed(self._rest)
                return filled
            self._check_framing()
            start, end = filled, filled + len(self._rest)
            if end + _ROOM_BYTES > len(buffer):
                return filled
            buffer[start:end] = self._rest
            received = self._line.receive_into(buffer[end:])
            if not received:
                raise cut("its last chunk is missing")
            self._fed += received
            end += received

    def _give(self, buffer: memoryview, count: Callable[[int], None]) -> int:
        data = self.take(len(buffer))
        buffer[: len(data)] = data
        count(len(data))
        return len(data)

    def _odd(self) -> bool:
        return self._is_odd

    def _sort(self, buffer: memoryview, filled: int, start: int, end: int) -> tuple[int, int]:
        """Move the content between `start` and `end` to where `filled` is.

        Return how far the buffer is filled then, and where what could not yet be read begins.
        """
        while start < end:
            if self._left:
                size = min(self._left, end - start)
                buffer[filled : filled + size] = buffer[start : start + size]
                filled += size
                start += size
                self._left -= size
                self._given += size
                continue
            found = (_NEXT_SIZE if self._is_behind else _SIZE).match(buffer, start, end)
            self._left = int(found[1], 16) if found is not None else 0
            if self._left:
                assert found is not None
                if self._is_behind:
                    self._between = found.end() - start
                start = found.end()
                self._is_behind = True
                continue
            if found is None and _BEGINNING.fullmatch(buffer, start, end) is not None:
                break
            if self._is_behind:
                if bytes(buffer[start : start + 2]) != b"\r\n":
                    raise _malformed("a chunk is longer than its size says")
                start += 2
            self._is_odd = True
            break
        return filled, start

    def take(self, size: int) -> bytes:
        """Return up to `size` bytes of content, none at the end."""
        if self._is_behind and not self._is_odd:
            buffer = memoryview(bytearray(max(size, 2 * _ROOM_BYTES)))
            self._ready += buffer[: self.fill(buffer, lambda _size: None)]
        else:
            self._is_odd = True
        while not self._ready and not self._complete:
            data = self._line.receive(RECEIVE_BYTES)
            if not data:
                raise cut("its last chunk is missing")
            self._fed += len(data)
            self._feed(data)
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def take_now(self, size: int) -> int | None:
        """Drop what is there already and return how much that is; None when nothing is."""
        if self._is_behind and not self._is_odd:
            return None
        self._is_odd = True
        if not self._ready and not self._complete:
            data = self._line.receive_now(size)
            if not data:
                return None
            self._fed += len(data)
            self._feed(data)
        taken = len(self._ready)
        self._ready.clear()
        return taken

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.overran = True
        except httptools.HttpParserError as error:
            self.overran = True
            if not self._complete:
                raise _malformed(error) from error
        self._check_framing()

    def _check_framing(self) -> None:
        if self._fed - self._given > FRAMING_BYTES + FRAMING_PER_BYTE * self._given:
            self.overran = True
            raise BadRequest(400, "the chunks of the body are nearly all framing")


def _malformed(cause: object) -> BadRequest:
    return BadRequest(400, f"the chunks of the body are malformed: {cause}")


def cut(what: str) -> BadRequest:
    """Return the refusal of a body that ended early."""
    return BadRequest(400, f"the body was cut: {what}; nothing was stored")
