"""Channel: one end of the socket between the gateway's process and a worker process.

Before each message stands its length and how many descriptors come with it. The bytes of a source
follow their length as they are. A message takes one call of the system to send, and one to receive:
each call lets another thread have the interpreter, which must then be waited for.
"""

import array
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from processors.work.wire import Message

_HEAD = struct.Struct("!IB")
_LENGTH = struct.Struct("!I")
# No message is longer; the bytes of sources are no message.
MESSAGE_MAX_BYTES = 64 << 20
_AHEAD_BYTES = 16 << 10
_DESCRIPTORS_MAX = 72
_BESIDE_BYTES = socket.CMSG_SPACE(_DESCRIPTORS_MAX * array.array("i").itemsize)
_FAILED = (1 << 32) - 1
"""In place of a length: the source cannot be read."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Channel:
    """Sends and receives over a socket that blocks. For one thread at a time.

    `_patience_seconds` is fixed: who does not take or give the bytes of a message for so long was
    stopped from outside, and that is an OSError; None waits for ever. The rest is what came ahead.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        look_seconds: float | None = None,
        patience_seconds: float | None = None,
    ) -> None:
        """Have `receive` call its `look` every `look_seconds` while nothing comes."""
        self._socket = sock
        self._patience_seconds = patience_seconds
        self._ahead = b""
        self._descriptors: list[int] = []
        # The system itself waits so long: Python would poll before each call.
        sock.settimeout(None)
        for option, seconds in (
            (socket.SO_RCVTIMEO, look_seconds),
            (socket.SO_SNDTIMEO, patience_seconds),
        ):
            if seconds is not None:
                sock.setsockopt(socket.SOL_SOCKET, option, _timeval(seconds))

    def is_silent(self) -> bool:
        """Tell whether the other side is there, and has said nothing that was not received."""
        if self._ahead:
            return False
        try:
            self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the socket and what nobody took."""
        self._socket.close()
        close_all(self._descriptors)
        self._descriptors = []

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message and copies of descriptors."""
        payload = _encoder.encode(message)
        if len(payload) > MESSAGE_MAX_BYTES:
            raise ValueError("the message is too long")
        data = _HEAD.pack(len(payload), len(descriptors)) + payload
        with _patient():
            if descriptors:
                beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
                data = data[self._socket.sendmsg([data], beside) :]
            if data:
                self._socket.sendall(data)

    def receive(self, look: Callable[[], None] | None = None) -> tuple[Message, list[int]]:
        """Return the next message and the descriptors that came with it.

        `look` is called while it is waited for, and may raise to end that. Raises EOFError when the
        other side is gone, msgspec.DecodeError when it talks nonsense.
        """
        length, count = _HEAD.unpack(self._take(_HEAD.size, look))
        if length > MESSAGE_MAX_BYTES:
            raise msgspec.DecodeError("the message is too long")
        payload = self._take(length, look)
        descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        if len(descriptors) != count:
            close_all(descriptors)
            raise msgspec.DecodeError("descriptors are missing")
        try:
            return _decoder.decode(payload), descriptors
        except BaseException:
            close_all(descriptors)
            raise

    def send_piece(self, data: bytes | memoryview) -> None:
        """Send bytes of a source with their length."""
        head = _LENGTH.pack(len(data))
        with _patient():
            sent = self._socket.sendmsg([head, data])
            if sent < len(head):
                self._socket.sendall(head[sent:])
                sent = len(head)
            if sent < len(head) + len(data):
                self._socket.sendall(memoryview(data)[sent - len(head) :])

    def send_read_failed(self) -> None:
        """Say, in place of bytes, that the source cannot be read."""
        with _patient():
            self._socket.sendall(_LENGTH.pack(_FAILED))

    def receive_piece(self) -> bytearray | None:
        """Return bytes of a source; None when it cannot be read."""
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size, None))
        if length == _FAILED:
            return None
        data = bytearray(length)
        at = min(length, len(self._ahead))
        data[:at], self._ahead = self._ahead[:at], self._ahead[at:]
        view = memoryview(data)[at:]
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return data

    def _take(self, size: int, look: Callable[[], None] | None) -> bytes:
        """Return `size` bytes; what comes behind them is kept for the next call."""
        if len(self._ahead) < size:
            parts, held = [self._ahead], len(self._ahead)
            self._ahead = b""
            while held < size:
                part = self._more(max(size - held, _AHEAD_BYTES), look)
                parts.append(part)
                held += len(part)
            self._ahead = b"".join(parts)
        found, self._ahead = self._ahead[:size], self._ahead[size:]
        return found

    def _more(self, most: int, look: Callable[[], None] | None) -> bytes:
        began = time.monotonic()
        while True:
            try:
                data, beside, _, _ = self._socket.recvmsg(
                    most, _BESIDE_BYTES, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                if look is not None:
                    look()
                elif time.monotonic() - began > (self._patience_seconds or 0):
                    raise TimeoutError from None
                continue
            for level, kind, packed in beside:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._descriptors += array.array("i", packed[: len(packed) // 4 * 4])
            if not data:
                raise EOFError
            return data


@contextmanager
def _patient() -> Iterator[None]:
    """Say by its name that the patience of the system is over."""
    try:
        yield
    except BlockingIOError:
        raise TimeoutError from None


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that came over a socket."""
    for descriptor in descriptors:
        socket.close(descriptor)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))
