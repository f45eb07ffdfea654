"""Held: a connection that keeps a thread while it waits, by cheroot's own means.

The other engine. cheroot accepts, keeps idle connections, hands them to its threads and reads
ahead; what a request is and how it is answered is the same `Exchange` as on our own loop.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection
from cheroot.ssl import Adapter

from vfs.http import head as heads
from vfs.http.answer import Answer
from vfs.http.bad_request import BadRequest
from vfs.http.connection import LINGER_BYTES, LINGER_SECONDS, RESET
from vfs.http.exchange import Exchange
from vfs.http.line import PeerLost
from vfs.http.native import Serving
from vfs.http.pace import HEAD_SECONDS, STALL_SECONDS

READ_AHEAD_BYTES = 64 * 1024


class Held(HTTPConnection):
    """One socket, with cheroot's buffer before it. Used by one thread at a time: a `Line`."""

    rbufsize = READ_AHEAD_BYTES

    remote_addr = ""
    remote_port = 0

    def __init__(
        self, server: Serving, sock: socket.socket, makefile: Callable[..., Any] = MakeFile
    ) -> None:
        super().__init__(server, sock, makefile)
        self.host = server
        self.waited_seconds = 0.0
        with suppress(OSError):  # the peer may be gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def communicate(self) -> bool:
        """Answer one request; tell whether the connection goes on."""
        exchange = Exchange(self, self.host)
        if not exchange.run(self._gathered):
            return False
        if exchange.answer.keep:
            return bool(self.server.can_add_keepalive_connection)
        self._end(exchange.answer)
        return False

    @property
    def secure(self) -> bool:
        """Tell whether the connection is encrypted."""
        return isinstance(self.socket, ssl.SSLSocket)

    @property
    def ahead(self) -> int:
        """How many bytes were read that nobody has taken yet; here, whether there are any."""
        return int(self.rfile.has_data())

    def receive(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for the first; empty at the end of the stream."""
        self._await(STALL_SECONDS)
        return self._taken(size)

    def receive_into(self, buffer: memoryview) -> int:
        """Put what is there into `buffer`, waiting for the first byte; 0 at the end."""
        self._await(STALL_SECONDS)
        if self.rfile.has_data():
            data = self._taken(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        try:
            return int(self.socket.recv_into(buffer))
        except OSError as error:
            raise PeerLost(*error.args) from error

    def receive_now(self, size: int) -> bytes | None:
        """Return what is there already, None when nothing is or the peer is gone."""
        try:
            return self._taken(size) or None if self._is_ready(0) else None
        except PeerLost:
            return None

    def send(self, data: bytes | bytearray | memoryview, before: bytes = b"") -> None:
        """Send all of `data`, waiting for the peer where it must; `before` goes ahead of it."""
        view = memoryview(before + data if before else data)
        while view:
            self.wait(select.POLLOUT)
            try:
                view = view[self.socket.send(view) :]
            except OSError as error:
                raise PeerLost(*error.args) from error

    def send_rest(self) -> None:
        """Do nothing: here `send` always sends all."""

    def wait(self, events: int) -> None:
        """Wait for the peer and count the time; raise BadRequest when it stalls."""
        if not self._poll(events, STALL_SECONDS):
            raise BadRequest(408, f"nothing came through for {STALL_SECONDS:.0f} seconds")

    def is_present(self) -> bool:
        """Tell whether the peer is still there: it has not ended the stream."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return not poll.poll(0)

    def _gathered(self) -> heads.Head:
        """Return the head of the next request; PeerLost when there is none."""
        data = bytearray()
        until = time.monotonic() + HEAD_SECONDS
        searched = 0
        while True:
            self._await(max(0.0, until - time.monotonic()))
            piece = self._peeked()
            if not piece:
                raise PeerLost("no more requests")
            before = len(data)
            data += piece
            end = heads.find_end(data, searched)
            if end:
                self._taken(min(end, len(data)) - before)
                if end > heads.HEAD_MAX_BYTES:
                    raise BadRequest(431, f"the headers may have {heads.HEAD_MAX_BYTES} bytes")
                return heads.parse(bytes(data[:end]))
            searched = len(data)
            self._taken(len(piece))

    def _await(self, seconds: float) -> None:
        if not self._is_ready(seconds):
            raise BadRequest(408, f"nothing came through for {seconds:.0f} seconds")

    def _is_ready(self, seconds: float) -> bool:
        """Tell whether there is something to read within so many seconds."""
        if self.rfile.has_data():
            return True
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        return self._poll(select.POLLIN, seconds)

    def _poll(self, events: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.socket, events)
        began = time.monotonic()
        found = poll.poll(seconds * 1000)
        self.waited_seconds += time.monotonic() - began
        return bool(found)

    def _peeked(self) -> bytes:
        try:
            return bytes(self.rfile.peek(1))
        except OSError as error:
            raise PeerLost(*error.args) from error

    def _taken(self, size: int) -> bytes:
        """Return up to `size` bytes of what was read ahead, or reading once."""
        return bytes(self.rfile.read(min(size, len(self._peeked()))))

    def _end(self, answer: Answer) -> None:
        """End the stream, and read on for a moment, so that no reset overtakes the answer."""
        try:
            if answer.looks_whole:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return
            # What comes needs no decrypting, so TLS is left out.
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
            until, left = time.monotonic() + LINGER_SECONDS, LINGER_BYTES
            while left > 0 and self._poll(select.POLLIN, max(0.0, until - time.monotonic())):
                data = socket.socket.recv(self.socket, READ_AHEAD_BYTES)
                if not data:
                    break
                left -= len(data)
        except OSError:
            return

    def _close_kernel_socket(self) -> None:
        """Leave the end of the stream to `_end`: shut down here, it could not be reset."""


class Tls(Adapter):
    """Puts TLS around a socket; hands are shaken by the thread that first reads."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def bind(self, sock: socket.socket) -> socket.socket:
        """Return the listening socket as it is."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """Return the socket with TLS, and nothing to tell of it."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {}

    def get_environ(self) -> dict[str, Any]:
        """Return nothing: no handler asks."""
        return {}

    def makefile(self, sock: socket.socket, mode: str = "r", bufsize: int = -1) -> object:
        """Return cheroot's file over the socket."""
        return MakeFile(sock, mode, bufsize)
