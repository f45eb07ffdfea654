"""Body: what a client sends after the head, read as it is asked for."""

import contextlib
import select
from collections.abc import Callable, Iterator

from vfs.http.bad_request import BadRequest
from vfs.http.chunks import LEAST_BYTES, RECEIVE_BYTES, Chunks, cut
from vfs.http.head import Head
from vfs.http.line import Line
from vfs.http.pace import Pace
from vfs.http.splice import Splice

DRAIN_BYTES = 64 * 1024
"""An unread rest up to this size is read away, to keep the connection."""

BLOCK_BYTES = 128 * 1024
"""What is received of a large body before it is written: little enough to stay near the CPU."""

SPLICE_FROM_BYTES = 256 * 1024
"""Smaller bodies are not worth a pipe."""

SPLICED_BYTES = 16 * 1024
"""Of smaller chunks several are read at once instead."""

PEEKED_BYTES = 4096
"""What is read to find the next chunk where it is not where the last one was."""

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
        self._source: Chunks | _Counted | _Content
        if content is not None:
            self._source = _Content(content)
        else:
            self._source = Chunks(line) if head.chunked else _Counted(line, head.length)

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

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[memoryview]:
        """Yield all that is left in blocks of about `size` bytes.

        A block is the caller's until the next one is asked for. Cheaper than `read` for large
        bodies: all blocks share one buffer, into which the socket is read.
        """
        if self._is_over():
            return
        self._begin()
        if isinstance(self._source, _Content):
            content = self._source.take(self._source.size)
            self._count(len(content))
            yield memoryview(content)
            return
        most = self._source.size
        buffer = memoryview(bytearray(max(size, LEAST_BYTES) if most is None else min(size, most)))
        while not self._is_over():
            filled = self._source.fill(buffer, self._count)
            if filled:
                yield buffer[:filled]

    def splice(self, descriptor: int, path: str) -> None:
        """Write as much as can be moved into a file without seeing it; `blocks` has the rest.

        Without TLS that is all of a large body, or nearly all of one in large chunks. `path` is for
        errors.
        """
        source = self._source
        if (source.size is not None and source.size < SPLICE_FROM_BYTES) or self._line.secure:
            return
        self._begin()
        with contextlib.closing(Splice(self._line, descriptor, path)) as splice:
            buffer = memoryview(bytearray(BLOCK_BYTES))
            while splice.is_able and not self._is_over():
                if self._line.ahead or not (source.movable or source.advance()):
                    # What came with the head is taken at once.
                    room = buffer if self._line.ahead else buffer[:PEEKED_BYTES]
                    splice.write(room[: source.fill(room, self._count)])
                if not self._line.ahead and source.movable < SPLICED_BYTES:
                    break
                while source.movable and not self._line.ahead and splice.is_able:
                    moved = splice.move(source.movable, self._wait)
                    if not moved:
                        raise cut(f"{source.movable} bytes of it are missing")
                    source.moved(moved)
                    self._count(moved)
            splice.pour()

    def _wait(self) -> None:
        self._line.wait(select.POLLIN)

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
        data = self._source.take(size)
        self._count(len(data))
        return data

    def _count(self, size: int) -> None:
        assert self._pace is not None
        self.received += size
        self._pace.add(size)


class _Counted:
    """A body whose length the head told; `left` is what has not been taken of it."""

    overran = False

    def __init__(self, line: Line, length: int) -> None:
        self._line = line
        self.left = length

    @property
    def finished(self) -> bool:
        return self.left == 0

    @property
    def size(self) -> int | None:
        return self.left

    def fill(self, buffer: memoryview, count: Callable[[int], None]) -> int:
        """Fill the buffer, or what of it is needed."""
        filled, end = 0, min(len(buffer), self.left)
        while filled < end:
            size = self._line.receive_into(buffer[filled:end])
            if not size:
                raise cut(f"{self.left} bytes of it are missing")
            self.left -= size
            filled += size
            count(size)
        return filled

    @property
    def movable(self) -> int:
        return self.left

    def advance(self) -> bool:
        """Do nothing: there is nothing between its parts."""
        return False

    def moved(self, size: int) -> None:
        """Note that some was taken by another way."""
        self.left -= size

    def take(self, size: int) -> bytes:
        data = self._line.receive(min(size, self.left))
        if not data:
            raise cut(f"{self.left} bytes of it are missing")
        self.left -= len(data)
        return data

    def take_now(self, size: int) -> int | None:
        data = self._line.receive_now(min(size, self.left))
        if not data:
            return None
        self.left -= len(data)
        return len(data)


class _Content:
    """A body that is there already."""

    overran = False

    def __init__(self, content: bytes) -> None:
        self._left = content

    @property
    def finished(self) -> bool:
        return not self._left

    @property
    def size(self) -> int:
        return len(self._left)

    def fill(self, buffer: memoryview, count: Callable[[int], None]) -> int:
        data = self.take(len(buffer))
        buffer[: len(data)] = data
        count(len(data))
        return len(data)

    @property
    def movable(self) -> int:
        return 0

    def advance(self) -> bool:
        return False

    def moved(self, size: int) -> None:
        raise NotImplementedError  # nothing of it is in the socket

    def take(self, size: int) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data

    def take_now(self, size: int) -> int:
        return len(self.take(size))
