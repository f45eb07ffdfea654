"""Connection: one socket, from its first byte to its last."""

import logging
import select
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Any

from providers.errors import StorageError
from vfs.http import head as heads
from vfs.http.answer import Answer
from vfs.http.bad_request import BadRequest
from vfs.http.body import Body
from vfs.http.environ import environ_of
from vfs.http.line import Host, PeerLost
from vfs.http.pace import HEAD_SECONDS, IDLE_SECONDS, STALL_SECONDS
from vfs.http.visit import FINISH_KEY

_log = logging.getLogger(__name__)

GATHER_BYTES = 64 * 1024
LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024

# Closes without a handshake of goodbyes: the peer gets an error instead of an end.
_RESET = struct.pack("ii", 1, 0)

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """A non-blocking socket with what has been read ahead of it.

    The loop's thread gathers a request's head; then one pool thread answers it and gives the
    connection back. Only one of them has it at any time, so nothing here needs a lock.
    """

    def __init__(self, host: Host, sock: socket.socket, address: tuple[Any, ...]) -> None:
        self.host = host
        self.socket = sock
        self.remote_addr = str(address[0]) if address else ""
        self.remote_port = int(address[1]) if address else 0
        self.waited_seconds = 0.0
        self.closed = False
        self._handshaken = not isinstance(sock, ssl.SSLSocket)
        self._buffer = bytearray()
        self._searched = 0
        self._head_end = -1
        self._ended = False
        self._linger_bytes = 0
        self._deadline = time.monotonic() + HEAD_SECONDS

    @property
    def secure(self) -> bool:
        """Tell whether the connection is encrypted."""
        return isinstance(self.socket, ssl.SSLSocket)

    # In the loop's thread

    def gather(self) -> bool:
        """Read what is there without waiting; tell whether a thread should take over.

        That is so when a head is complete, too long or wrong, and when the peer is gone.
        """
        try:
            if not self._handshaken:
                assert isinstance(self.socket, ssl.SSLSocket)
                self.socket.do_handshake()
                self._handshaken = True
            if self._linger_bytes:
                self._drain()
                return True
            while not self._is_decided():
                data = self.socket.recv(GATHER_BYTES)
                if not data:
                    self._ended = True
                    return True
                if not self._buffer:
                    self._deadline = time.monotonic() + HEAD_SECONDS
                self._buffer += data
        except _WOULD_BLOCK:
            return False
        except OSError:
            self._ended = True
        return True

    def is_overdue(self, now: float) -> bool:
        """Tell whether the head has taken too long, or the peer has nothing more to say."""
        return now > self._deadline

    def _drain(self) -> None:
        """Read what the peer still sends after its answer, up to a bound and to its end."""
        while self._linger_bytes > 0:
            # What comes needs no decrypting, so TLS is left out.
            data = socket.socket.recv(self.socket, GATHER_BYTES)
            if not data:
                break
            self._linger_bytes -= len(data)
        self._ended = True

    def _is_decided(self) -> bool:
        """Tell whether the buffer holds a head to answer, be it with an error."""
        end = self._buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end >= 0:
            if end + 4 <= heads.HEAD_MAX_BYTES:
                self._head_end = end + 4
            return True
        # llhttp would wait for more after a bare line feed at the end; refuse it at once.
        if self._buffer.find(b"\n\n", max(0, self._searched - 1)) >= 0:
            self._head_end = len(self._buffer)
            return True
        self._searched = len(self._buffer)
        return len(self._buffer) > heads.HEAD_MAX_BYTES

    # In a pool thread

    def communicate(self) -> bool:
        """Answer the request that was gathered; tell whether the connection goes on."""
        if self._ended:
            return False
        head = None
        answer = Answer(self)
        try:
            head = heads.parse(self._gathered())
            body = Body(self, head)
            answer.expect(head, body)
            self._run(answer, environ_of(self, head, body), body)
        except BadRequest as error:
            answer.refuse(error)
        except StorageError as error:
            # The head is out already, or the application would have turned it into an answer.
            _log.warning("a transfer was cut: %s", error)
            answer.refuse(BadRequest(502, "the store failed"))
        except PeerLost as error:
            _log.debug("lost %s: %s", self.remote_addr, error)
            return False
        except Exception:  # noqa: BLE001 - one request must not end the thread
            _log.exception("a request failed: %s", head.method if head else "no head")
            answer.refuse(BadRequest(500, "the gateway failed on this request; its log says why"))
        if not answer.keep:
            return self._linger(answer)
        self._deadline = time.monotonic() + (HEAD_SECONDS if self._buffer else IDLE_SECONDS)
        return True

    def _run(self, answer: Answer, environ: dict[str, Any], body: Body) -> None:
        try:
            result = self.host.wsgi_app(environ, answer.start)
            try:
                answer.send(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
        finally:
            finish = environ.get(FINISH_KEY)
            if finish is not None:
                finish(body.received, answer.sent, whole=answer.is_whole)

    def receive(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for the first; empty at the end of the stream."""
        if self._buffer:
            return self._from_buffer(size)
        while True:
            try:
                return self.socket.recv(size)
            except _WOULD_BLOCK as error:
                self.wait(_events(error, select.POLLIN))
            except OSError as error:
                raise PeerLost(*error.args) from error

    def receive_now(self, size: int) -> bytes | None:
        """Return what is there already, None when nothing is or the peer is gone."""
        if self._buffer:
            return self._from_buffer(size)
        try:
            return self.socket.recv(size) or None
        except OSError:
            return None

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`, waiting for the peer where it must."""
        view = memoryview(data)
        while view:
            try:
                sent = self.socket.send(view)
            except _WOULD_BLOCK as error:
                self.wait(_events(error, select.POLLOUT))
            except OSError as error:
                raise PeerLost(*error.args) from error
            else:
                view = view[sent:]

    def wait(self, events: int) -> None:
        """Wait for the peer and count the time; raise BadRequest when it stalls."""
        poll = select.poll()
        poll.register(self.socket, events)
        began = time.monotonic()
        with self.host.blocked():
            if not poll.poll(STALL_SECONDS * 1000):
                raise BadRequest(408, f"nothing came through for {STALL_SECONDS:.0f} seconds")
        self.waited_seconds += time.monotonic() - began

    def is_present(self) -> bool:
        """Tell whether the peer is still there.

        Who has ended its side of the stream counts as gone. Some client may do that and read on;
        but no other sign comes from one that was closed.
        """
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return not self._ended and not poll.poll(0)

    def interrupt(self) -> None:
        """End the stream in both directions; from any thread, whoever waits on it gets an error."""
        with suppress(OSError):
            # The method of an SSLSocket would first make it a plain one.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket, once."""
        if not self.closed:
            self.closed = True
            self.host.forget(self.remote_addr)
            self.socket.close()

    def _linger(self, answer: Answer) -> bool:
        """End the stream; tell whether the loop shall read on until the peer has the answer.

        Closed with something unread, the connection would be reset, and the answer with it.
        """
        try:
            if answer.looks_whole:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return False
            if isinstance(self.socket, ssl.SSLSocket) and answer.is_whole:
                with suppress(*_WOULD_BLOCK):
                    self.socket.unwrap()
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
        except OSError:
            return False
        self._buffer.clear()
        self._linger_bytes = LINGER_BYTES
        self._deadline = time.monotonic() + LINGER_SECONDS
        return True

    def _gathered(self) -> bytes:
        """Return the head that was gathered and make ready for the next."""
        if self._head_end < 0:
            raise BadRequest(431, f"the headers may have {heads.HEAD_MAX_BYTES} bytes")
        data = self._from_buffer(self._head_end)
        self._head_end = -1
        self._searched = 0
        return data

    def _from_buffer(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


def _events(error: OSError, events: int) -> int:
    """Return what to wait for: TLS may have to read before it can write, and the reverse."""
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    return select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else events
