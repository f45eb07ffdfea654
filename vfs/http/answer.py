"""Answer: status line, headers and body on their way out."""

import errno
import logging
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus

from providers.base import Reader
from providers.waiting import WouldWait
from vfs.http.bad_request import BadRequest
from vfs.http.body import Body
from vfs.http.head import Head
from vfs.http.line import Line, PeerLost
from vfs.http.pace import Pace

_log = logging.getLogger(__name__)

Octets = bytes | bytearray | memoryview

SENDFILE_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024

TAIL_BYTES = 64 * 1024
"""The end of a file, which is read and sent only when the version has been checked once more."""

_BODILESS = frozenset({204, 304})
_STATUS_LINES = {int(status): f"{int(status)} {status.phrase}" for status in HTTPStatus}

# Some file systems cannot.
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class FileSlice:
    """A part of a file as a response's whole body. The reader is closed with it.

    Iterating reads it; an Answer on a plain socket sends it from the descriptor instead.
    """

    def __init__(self, reader: Reader, offset: int, size: int) -> None:
        self.reader = reader
        self.offset = offset
        self.size = size
        self._first = b""

    def begin(self) -> None:
        """Read the first block now, if it will be read at all: a failure still has its status."""
        if self.size and self.reader.fileno() is None:
            self._first = self.reader.read_at(self.offset, min(READ_BYTES, self.size))

    def __iter__(self) -> Iterator[bytes]:
        return map(bytes, self.pieces())

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Read it in pieces."""
        offset, end = self.offset, self.offset + self.size
        if self._first:
            yield self._first
            offset += len(self._first)
            self._first = b""
        yield from self.reader.pieces(offset, end - offset)

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()


class Answer:
    """One response. Used by one thread; made before its request is known to be sound.

    `sent` counts the bytes of the body that went out, without their framing.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._head: Head | None = None
        self._body: Body | None = None
        self._code = 0
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._unsent: int | None = None
        self._started = False
        self._chunked = False
        self._left: int | None = None
        self._is_last = False
        self._pace = Pace(line)
        self.sent = 0
        self.is_whole = False
        self.keep = False

    @property
    def looks_whole(self) -> bool:
        """Tell whether a cut answer would be taken for a whole one, as it ends with the stream."""
        if not self._started or self.is_whole:
            return False
        return not (self._chunked or self._left is not None or self.is_bodiless())

    @property
    def is_under_way(self) -> bool:
        """Tell whether its only packet went out in part: `resume` sends the rest."""
        return self._unsent is not None

    def expect(self, head: Head, body: Body) -> None:
        """Say which request is answered."""
        self._head = head
        self._body = body

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: tuple[type[BaseException], BaseException, object] | None = None,
    ) -> Callable[[bytes], None]:
        """Take status and headers from the application: WSGI's start_response."""
        if self._started and exc_info:
            raise exc_info[1]
        self._code, self._status = int(status[:3]), status
        self._headers = headers
        return self._write

    def tell(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Take status and headers from an application that needs no WSGI."""
        self._code, self._status = status, _STATUS_LINES[status]
        self._headers = headers

    def send(self, result: Iterable[Octets]) -> None:
        """Send the application's whole result."""
        if isinstance(result, FileSlice):
            self._send_file(result)
        else:
            for block in result:
                if block:
                    self._write(block)
                    if self.is_bodiless():
                        break
        self._finish()

    def resume(self) -> None:
        """Send the end of an answer that is under way."""
        assert self._unsent is not None
        self._line.send_rest()  # may be left undone once more
        self.sent += self._unsent
        self._unsent = None
        self._finish()

    def is_bodiless(self) -> bool:
        """Tell whether this answer has no body, whatever the application gave."""
        return (self._head is not None and self._head.method == "HEAD") or self._code in _BODILESS

    def refuse(self, error: BadRequest) -> None:
        """Answer with an error instead, if nothing has been sent; else cut the connection."""
        self.keep = False
        self._is_last = True
        if self._started:
            return
        self._chunked, self._left = False, None
        text = f"{error.detail}\n".encode(errors="backslashreplace")
        self._code, self._status = error.status, _STATUS_LINES[error.status]
        self._headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            *error.headers,
        ]
        try:
            self._write(text)
            self._finish()
        except (OSError, BadRequest):
            self.keep = False

    def _finish(self) -> None:
        if not self._started:
            self._begin(b"")
        if self._chunked:
            self._send(b"0\r\n\r\n", b"")
        if self._left:
            # Fewer bytes than promised: the peer must not take them for the whole.
            self.keep = False
            _log.warning("a response ended %d bytes early", self._left)
        else:
            self.is_whole = True

    def _write(self, data: Octets) -> None:
        if self.is_bodiless():
            if not self._started:
                self._begin(b"")
            return
        if not self._started:
            self._begin(data)
        else:
            self._send(b"", data)

    def _send(self, frame: bytes, data: Octets) -> None:
        """Send some of the body, behind what belongs to the protocol alone."""
        framed = self._framed(data) if data else data
        size = len(data) if self._chunked else len(framed)
        try:
            self._line.send(framed, frame)
        except WouldWait:
            self._unsent = size
            raise
        self.sent += size
        self._pace.add(len(frame) + len(framed))

    def _framed(self, data: Octets) -> Octets:
        if self._chunked:
            return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))
        if self._left is not None:
            if len(data) > self._left:
                data = data[: self._left]
            self._left -= len(data)
        return data

    def _begin(self, data: Octets) -> None:
        """Send the head, with the first of the body in the same packet."""
        lines = [f"HTTP/1.1 {self._status}"]
        length = None
        is_dated = False
        for name, value in self._headers:
            lines.append(f"{name}: {value}")
            lower = name.lower()
            if lower == "content-length":
                length = int(value)
            elif lower == "date":
                is_dated = True
        head, body = self._head, self._body
        self.keep = (
            not self._is_last
            and head is not None
            and body is not None
            and head.keep_alive
            and not self._line.host.stopping
            and body.settle()
        )
        if not self.is_bodiless():
            if length is not None:
                self._left = length
            elif head is not None and head.version == "1.1":
                self._chunked = True
                lines.append("Transfer-Encoding: chunked")
            else:
                self.keep = False
        if not is_dated:
            lines.append(f"Date: {_date(int(time.time()))}")
        if not self.keep:
            lines.append("Connection: close")
        elif head is not None and head.version == "1.0":
            lines.append("Connection: keep-alive")
        lines += ("", "")
        text = "\r\n".join(lines)
        if not text.count("\n") == text.count("\r") == len(lines) - 1 or "\0" in text:
            raise ValueError("a header holds a line break")
        packet = text.encode("latin-1")
        self._started = True
        self._send(packet, data)

    def _send_file(self, part: FileSlice) -> None:
        if self.is_bodiless():
            self._write(b"")
            return
        descriptor = part.reader.fileno()
        offset, end = part.offset, part.offset + part.size
        if descriptor is not None and not self._line.secure and part.size > 2 * TAIL_BYTES:
            self._begin(b"")
            left = 0 if part.reader.is_final else TAIL_BYTES
            offset = self._send_descriptor(descriptor, part, end - left)
        rest = part if offset == part.offset else FileSlice(part.reader, offset, end - offset)
        for block in rest.pieces():
            self._write(block)

    def _send_descriptor(self, descriptor: int, part: FileSlice, end: int) -> int:
        """Send from a descriptor up to `end`; return how far that went.

        A part is checked after it is gone. The rest is left to be read, so a file that was changed
        under us is always noticed before its last byte leaves; what nobody changes is sent whole.
        """
        offset = part.offset
        out = self._line.socket.fileno()
        while offset < end:
            try:
                sent = os.sendfile(out, descriptor, offset, min(SENDFILE_BYTES, end - offset))
            except BlockingIOError:
                self._line.wait(select.POLLOUT)
                continue
            except (ConnectionError, TimeoutError) as error:
                raise PeerLost(*error.args) from error
            except OSError as error:
                if error.errno in _NO_SENDFILE:
                    break
                raise
            part.reader.check(sent)
            if sent == 0:
                break
            offset += sent
            if self._left is not None:
                self._left -= sent
            self.sent += sent
            self._pace.add(sent)
        return offset


_dates: tuple[int, str] = (0, "")


def _date(second: int) -> str:
    global _dates  # noqa: PLW0603 - one value a second, replaced whole
    if _dates[0] != second:
        _dates = (second, formatdate(second, usegmt=True))
    return _dates[1]
