"""Connection: one socket, from its first byte to its last."""

import select
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Any

from providers import waiting
from vfs.http import head as heads
from vfs.http.answer import Answer
from vfs.http.bad_request import BadRequest
from vfs.http.exchange import Exchange
from vfs.http.head import Head, Heads
from vfs.http.line import PeerLost
from vfs.http.native import Serving
from vfs.http.pace import HEAD_SECONDS, IDLE_SECONDS, STALL_SECONDS

GATHER_BYTES = 64 * 1024
JOINED_BYTES = 16 * 1024
"""Up to here one buffer is cheaper than two."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024

# Closes without a handshake of goodbyes: the peer gets an error instead of an end.
RESET = struct.pack("ii", 1, 0)

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """A non-blocking socket with what has been read ahead of it.

    The loop's thread gathers a request's head, and answers it if nothing has to be waited for; else
    one pool thread does, and gives the connection back. Only one of them has it at any time, so
    nothing here needs a lock. `_exchange` is what was begun and not yet ended.
    """

    def __init__(self, host: Serving, sock: socket.socket, address: tuple[Any, ...]) -> None:
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
        self._heads = Heads()
        self._ended = False
        self._linger_bytes = 0
        self._unsent = memoryview(b"")
        self._exchange: Exchange | None = None
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
        end = heads.find_end(self._buffer, self._searched)
        if 0 < end <= heads.HEAD_MAX_BYTES:
            self._head_end = end
        self._searched = len(self._buffer)
        return end > 0

    # In a thread of the pool, or in the loop's for what need not wait

    def communicate(self, *, now: bool = False) -> bool:
        """Answer the request that was gathered; tell whether the connection goes on.

        With `now` this is the loop's thread: what would wait raises WouldWait, and goes on at the
        next call, which a thread of the pool makes.
        """
        if self._ended:
            return False
        exchange = self._exchange
        if exchange is None:
            exchange = self._exchange = Exchange(self, self.host)
        if not exchange.run(self._gathered, now=now):
            self._exchange = None
            return False
        self._exchange = None
        answer = exchange.answer
        if not answer.keep:
            return self._linger(answer)
        self._deadline = time.monotonic() + (HEAD_SECONDS if self._buffer else IDLE_SECONDS)
        return True

    @property
    def ahead(self) -> int:
        """How many bytes were read that nobody has taken yet."""
        return len(self._buffer)

    @property
    def is_begun(self) -> bool:
        """Tell whether a request was begun in the loop, and somebody else must go on."""
        return self._exchange is not None

    @property
    def is_sending(self) -> bool:
        """Tell whether nothing is left of the request that was begun but to send what is ready."""
        return bool(self._unsent)

    def give(self, seconds: float) -> None:
        """Let the peer have so much time for what comes next."""
        self._deadline = time.monotonic() + seconds

    @property
    def has_more(self) -> bool:
        """Tell whether something came that the system will not tell of again."""
        if self._buffer:
            return True
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

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

    def receive_into(self, buffer: memoryview) -> int:
        """Put what is there into `buffer`, waiting for the first byte; 0 at the end."""
        if self._buffer:
            size = min(len(buffer), len(self._buffer))
            buffer[:size] = self._from_buffer(size)
            return size
        while True:
            try:
                return self.socket.recv_into(buffer)
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

    def send(self, data: bytes | bytearray | memoryview, before: bytes = b"") -> None:
        """Send all of `data`, waiting for the peer where it must; `before` goes ahead of it."""
        if len(data) < JOINED_BYTES or isinstance(self.socket, ssl.SSLSocket):
            view = memoryview(before + data if before else data)
            before = b""
        else:
            view = memoryview(data)
        while view or before:
            try:
                sent = self.socket.sendmsg((before, view)) if before else self.socket.send(view)
            except _WOULD_BLOCK as error:
                if waiting.is_refused():
                    self._unsent = memoryview(before + bytes(view)) if before else view
                    raise waiting.WouldWait from None
                self.wait(_events(error, select.POLLOUT))
            except OSError as error:
                raise PeerLost(*error.args) from error
            else:
                view = view[max(0, sent - len(before)) :]
                before = before[sent:]

    def send_rest(self) -> None:
        """Send what was left when `send` raised WouldWait."""
        rest, self._unsent = self._unsent, memoryview(b"")
        self.send(rest)

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
            if self._exchange is not None:
                self._exchange.drop()

    def _linger(self, answer: Answer) -> bool:
        """End the stream; tell whether the loop shall read on until the peer has the answer.

        Closed with something unread, the connection would be reset, and the answer with it.
        """
        try:
            if answer.looks_whole:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
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

    def _gathered(self) -> Head:
        """Return the head that was gathered, if it is sound, and make ready for the next."""
        if self._head_end < 0:
            raise BadRequest(431, f"the headers may have {heads.HEAD_MAX_BYTES} bytes")
        data = self._from_buffer(self._head_end)
        self._head_end = -1
        self._searched = 0
        return self._heads.parse(data)

    def _from_buffer(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


def _events(error: OSError, events: int) -> int:
    """Return what to wait for: TLS may have to read before it can write, and the reverse."""
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    return select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else events
