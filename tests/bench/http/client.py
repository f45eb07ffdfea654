"""A client that costs little: one connection, raw bytes, large bodies dropped in the kernel."""

import base64
import os
import socket
from collections.abc import Mapping
from typing import NamedTuple, Self

from tests.servers.target import Target

_TIMEOUT_SECONDS = 120
_BLOCK_BYTES = 1 << 20
_CHUNK_BYTES = 65_536


class WrongAnswer(RuntimeError):
    """The server did not do what is measured."""


class Answer(NamedTuple):
    """A status, headers in lower case, and the body; of a body that is dropped only its size."""

    status: int
    headers: dict[str, str]
    body: bytes
    size: int


class Client:
    """One keep-alive connection, opened anew when the server has closed it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket: socket.socket | None = None
        self._rest = b""
        self._buffer = memoryview(bytearray(_BLOCK_BYTES))
        self._login = ""
        if target.user:
            login = base64.b64encode(f"{target.user}:{target.password}".encode()).decode()
            self._login = f"Authorization: Basic {login}\r\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        drop: bool = False,
    ) -> Answer:
        """Send a request and return its answer; `drop` leaves the body in the kernel."""
        fields = dict(headers or {})
        if body is not None:
            fields["Content-Length"] = str(len(body))
        message = self._head(method, path, fields) + (body or b"")
        for is_last in (False, True):
            try:
                connection = self._connected()
                connection.sendall(message)
                return self._answer(method, drop=drop)
            except (ConnectionError, EOFError):
                # A server may close an idle connection at any time.
                self.close()
                if is_last:
                    raise
        raise AssertionError

    def upload(self, path: str, file: int, size: int, *, chunked: bool) -> Answer:
        """Put `size` bytes of a file, sent by the kernel."""
        connection = self._connected()
        connection.settimeout(None)  # sendfile wants a socket that waits
        if chunked:
            connection.sendall(self._head("PUT", path, {"Transfer-Encoding": "chunked"}))
            offset = 0
            while offset < size:
                end = min(offset + _CHUNK_BYTES, size)
                before = b"" if offset == 0 else b"\r\n"
                connection.send(b"%s%x\r\n" % (before, end - offset), socket.MSG_MORE)
                while offset < end:
                    offset += os.sendfile(connection.fileno(), file, offset, end - offset)
            connection.sendall(b"\r\n0\r\n\r\n")
        else:
            connection.sendall(self._head("PUT", path, {"Content-Length": str(size)}))
            offset = 0
            while offset < size:
                count = min(size - offset, 8 * _BLOCK_BYTES)
                offset += os.sendfile(connection.fileno(), file, offset, count)
        return self._answer("PUT", drop=False)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            address = (self._target.host, self._target.port)
            self._socket = socket.create_connection(address, timeout=_TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        host = f"Host: {self._target.host}:{self._target.port}\r\n"
        return f"{method} /{path} HTTP/1.1\r\n{host}{self._login}{fields}\r\n".encode()

    def _answer(self, method: str, *, drop: bool) -> Answer:
        status = 100
        headers: dict[str, str] = {}
        while status < 200:
            lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ", 2)[1])
            pairs = (line.partition(":") for line in lines[1:])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
        body, size = b"", 0
        if method == "HEAD" or status in (204, 304):
            pass
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            size = int(headers["content-length"])
            body = self._dropped(size) if drop else self._exactly(size)
        else:
            parts = [self._rest]
            while data := self._connected().recv(_BLOCK_BYTES):
                parts.append(data)
            body = b"".join(parts)
            self.close()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body, size or len(body))

    def _more(self) -> bytes:
        data = self._connected().recv(_CHUNK_BYTES)
        if not data:
            raise EOFError
        return data

    def _until(self, mark: bytes) -> bytes:
        """Return what comes before a mark."""
        data = self._rest
        while (end := data.find(mark)) < 0:
            data += self._more()
        self._rest = data[end + len(mark) :]
        return data[:end]

    def _exactly(self, size: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size:
            parts.append(self._more())
            have += len(parts[-1])
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def _chunks(self) -> bytes:
        parts = []
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            parts.append(self._exactly(size + 2)[:size])
            if not size:
                return b"".join(parts)

    def _dropped(self, size: int) -> bytes:
        left = size - len(self._rest)
        self._rest = b""
        connection = self._connected()
        while left:
            count = connection.recv_into(
                self._buffer[: min(left, _BLOCK_BYTES)], 0, socket.MSG_TRUNC
            )
            if not count:
                raise EOFError
            left -= count
        return b""


def must(answer: Answer, *statuses: int) -> Answer:
    """Return an answer with one of the statuses; WrongAnswer for another."""
    if answer.status not in statuses:
        raise WrongAnswer(f"{answer.status} {answer.body[:200]!r}")
    return answer
