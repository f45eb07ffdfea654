"""Answer: status line, headers and body on their way out."""

import logging
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus

from providers.base import Reader
from vfs.http.bad_request import BadRequest
from vfs.http.body import Body
from vfs.http.head import Head
from vfs.http.line import Line
from vfs.http.pace import Pace

_log = logging.getLogger(__name__)

SENDFILE_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024

_BODILESS = frozenset({204, 304})


class FileSlice:
    """A part of a file as a response's whole body. The reader is closed with it.

    Iterating reads it; an Answer on a plain socket sends it from the descriptor instead.
    """

    def __init__(self, reader: Reader, offset: int, size: int) -> None:
        self.reader = reader
        self.offset = offset
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        offset, end = self.offset, self.offset + self.size
        while offset < end:
            block = self.reader.read_at(offset, min(READ_BYTES, end - offset))
            if not block:
                return
            yield block
            offset += len(block)

    def close(self) -> None:
        """Close the reader."""
        self.reader.close()


class Answer:
    """One response. Used by one thread; made before its request is known to be sound."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._head: Head | None = None
        self._body: Body | None = None
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._started = False
        self._chunked = False
        self._left: int | None = None
        self._is_last = False
        self.keep = False

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
        self._status = status
        self._headers = headers
        return self._write

    def send(self, result: Iterable[bytes]) -> None:
        """Send the application's whole result."""
        if isinstance(result, FileSlice):
            self._send_file(result)
        else:
            for block in result:
                if block:
                    self._write(block)
        self._finish()

    def refuse(self, error: BadRequest) -> None:
        """Answer with an error instead, if nothing has been sent; else cut the connection."""
        self.keep = False
        self._is_last = True
        if self._started:
            return
        text = f"{error.detail}\n".encode(errors="backslashreplace")
        self._status = f"{error.status} {HTTPStatus(error.status).phrase}"
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
            self._line.send(b"0\r\n\r\n")
        elif self._left:
            # Fewer bytes than promised: the peer must not take them for the whole.
            self.keep = False
            _log.warning("a response ended %d bytes early", self._left)

    def _write(self, data: bytes) -> None:
        if self._is_bodiless():
            if not self._started:
                self._begin(b"")
            return
        if not self._started:
            self._begin(data)
        else:
            self._line.send(self._framed(data))

    def _framed(self, data: bytes) -> bytes:
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data

    def _is_bodiless(self) -> bool:
        return (self._head is not None and self._head.method == "HEAD") or int(
            self._status[:3]
        ) in _BODILESS

    def _begin(self, data: bytes) -> None:
        """Send the head, with the first of the body in the same packet."""
        names = {name.lower() for name, _ in self._headers}
        headers = list(self._headers)
        head, body = self._head, self._body
        self.keep = (
            not self._is_last
            and head is not None
            and body is not None
            and head.keep_alive
            and not self._line.host.stopping
            and body.settle()
        )
        if not self._is_bodiless():
            if "content-length" in names:
                self._left = int(next(v for n, v in headers if n.lower() == "content-length"))
            elif head is not None and head.version == "1.1":
                self._chunked = True
                headers.append(("Transfer-Encoding", "chunked"))
            else:
                self.keep = False
        if "date" not in names:
            headers.append(("Date", _date(int(time.time()))))
        if not self.keep:
            headers.append(("Connection", "close"))
        elif head is not None and head.version == "1.0":
            headers.append(("Connection", "keep-alive"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        if lines.count("\r\n") != len(headers) or lines.count("\n") != len(headers):
            raise ValueError("a header holds a line break")
        self._started = True
        packet = f"HTTP/1.1 {self._status}\r\n{lines}\r\n".encode("latin-1")
        self._line.send(packet + self._framed(data) if data else packet)

    def _send_file(self, part: FileSlice) -> None:
        descriptor = part.reader.fileno()
        if self._is_bodiless() or descriptor is None or self._line.secure:
            if self._is_bodiless():
                self._write(b"")
                return
            for block in part:
                self._write(block)
            return
        self._begin(b"")
        offset, end = part.offset, part.offset + part.size
        pace = Pace()
        out = self._line.socket.fileno()
        while offset < end:
            try:
                sent = os.sendfile(out, descriptor, offset, min(SENDFILE_BYTES, end - offset))
            except BlockingIOError:
                self._line.wait(select.POLLOUT)
                continue
            part.reader.check()
            if sent == 0:
                break
            offset += sent
            pace.add(sent)
        self._left = end - offset


_dates: tuple[int, str] = (0, "")


def _date(second: int) -> str:
    global _dates  # noqa: PLW0603 - one value a second, replaced whole
    if _dates[0] != second:
        _dates = (second, formatdate(second, usegmt=True))
    return _dates[1]
