"""Lane: the data of one channel, received and sent by whoever needs it.

A packet is received with many others in one call of the system, deciphered, and copied once, to
where it is wanted; several leave in one call.
"""

import select
import socket
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Final

import paramiko
from cryptography.exceptions import InvalidTag

from providers.ssh.packets import LENGTH, TAG_BYTES, Cipher, Packets, padding_of
from providers.ssh.stream import MOMENT_RECEIVING_SECONDS, MOMENT_SENDING_SECONDS, timeval
from providers.ssh.wire import Bytes

# Kinds of messages: RFC 4250, section 4.1.2.
_FOR_NOBODY: Final = frozenset({2, 4})  # what is to be ignored; for who looks for a mistake
_WINDOW_ADJUST: Final = 93
_DATA: Final = 94
_EXTENDED_DATA: Final = 95
_ENDS: Final = frozenset({1, 96, 97})

_HEAD: Final = struct.Struct(">BBII")  # padding, kind, channel, size
_TWO: Final = struct.Struct(">II")
_DATA_AT: Final = _HEAD.size
_AROUND_BYTES: Final = 1 << 10  # what a packet has around its data, at most
_RECEIVE_BYTES: Final = 256 << 10
_SEND_BYTES: Final = 32 << 10
_SEND_PACKETS: Final = 8
_LEAST_WINDOW_BYTES: Final = 256 << 10


class Lane:
    """Carries the data of one channel whose socket paramiko's thread has left.

    `_receiving` is held by who receives, and guards the buffers, `_rest`, `_early`, `_owed` and
    `_over`; the lock `sending` of the packets is held by who sends, and guards `_promised`; the
    rest is fixed, but `_window`, which `_counting` guards.
    """

    def __init__(
        self,
        packets: Packets,
        transport: paramiko.Transport,
        channel: paramiko.Channel,
        *,
        window: int,
        largest: int,
    ) -> None:
        assert isinstance(packets.peer, socket.socket)
        self._packets = packets
        self._transport = transport
        self._here = channel.chanid
        self._there = channel.remote_chanid
        # A descriptor of our own: paramiko may close its one while we are about to use it.
        self._socket = packets.peer.dup()
        weakref.finalize(self, self._socket.close)
        # The system's own timeouts: one call waits and ends, where a second one would ask before.
        self._socket.settimeout(None)
        for option, seconds in (
            (socket.SO_RCVTIMEO, MOMENT_RECEIVING_SECONDS),
            (socket.SO_SNDTIMEO, MOMENT_SENDING_SECONDS),
        ):
            self._socket.setsockopt(socket.SOL_SOCKET, option, timeval(seconds))
        self._receiving = threading.Lock()
        self._counting = threading.Lock()
        self._longest = largest + _AROUND_BYTES
        self._buffer = memoryview(bytearray(self._longest + _RECEIVE_BYTES))
        self._plain = memoryview(bytearray(self._longest))
        self._start = 0
        self._end = 0
        self._rest = memoryview(b"")
        self._early: deque[memoryview] = deque()
        self._owed = 0
        self._owed_most = window // 16
        self._over = False
        self._window = channel.out_window_size
        self._least_window = min(_LEAST_WINDOW_BYTES, self._window // 4)
        self._grown = threading.Event()
        self._piece = min(channel.out_max_packet_size, _SEND_BYTES)
        self._clear = memoryview(bytearray(self._piece + _AROUND_BYTES))
        self._sealed = memoryview(bytearray(_SEND_PACKETS * (self._piece + _AROUND_BYTES)))
        self._promised = 0

    # Receiving

    def recv_into(self, view: memoryview, least: int) -> int:
        """Receive up to `view`'s length, as `Stream.recv_into` does."""
        if not self._receiving.acquire(timeout=MOMENT_RECEIVING_SECONDS if least else 0):
            raise BlockingIOError
        try:
            filled = self._fill(view, least)
            self._owed += filled
            if self._owed >= self._owed_most and self._allow(self._owed):
                self._owed = 0
        finally:
            self._receiving.release()
        if not filled and not self._over:
            raise BlockingIOError
        return filled

    def look(self, seconds: float = 0) -> bool:
        """Take what comes within that time, which may be no data; False if somebody receives."""
        if not self._receiving.acquire(blocking=False):
            return False
        try:
            if self._rest:
                self._early.appendleft(memoryview(bytes(self._rest)))
                self._rest = memoryview(b"")
            if self._over or not select.select((self._socket,), (), (), seconds)[0]:
                return True
            if self._receive():
                while self._open():
                    if self._rest:
                        self._early.append(memoryview(bytes(self._rest)))
                        self._rest = memoryview(b"")
        finally:
            self._receiving.release()
        return True

    def _fill(self, view: memoryview, least: int) -> int:
        filled, size = 0, len(view)
        while True:
            if not self._rest and self._early:
                self._rest = self._early.popleft()
            rest = self._rest
            if rest:
                count = min(len(rest), size - filled)
                view[filled : filled + count] = rest[:count]
                self._rest = rest[count:]
                filled += count
                if filled == size:
                    return filled
                continue
            if self._over:
                return filled
            if self._open():
                continue
            if filled >= max(least, 1):
                return filled
            if not least and not select.select((self._socket,), (), (), 0)[0]:
                return filled
            if not self._receive():
                return filled

    def _receive(self) -> bool:
        """Receive into the buffer; False when nothing comes for a moment."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._buffer) - self._end < _RECEIVE_BYTES // 2:
            rest = self._end - self._start
            self._buffer[:rest] = self._buffer[self._start : self._end]
            self._start, self._end = 0, rest
        try:
            came = self._socket.recv_into(self._buffer[self._end : self._end + _RECEIVE_BYTES])
        except BlockingIOError:
            return False
        except OSError:
            came = 0
        if came == 0:
            self._over = True
            self._packets.end()
            return False
        self._end += came
        return True

    def _open(self) -> bool:
        """Open the next packet, if all of it is here; its data is then `_rest`."""
        start = self._start
        there = self._end - start
        if there < LENGTH.size:
            return False
        (length,) = LENGTH.unpack_from(self._buffer, start)
        if not 0 < length <= self._longest:
            raise ConnectionResetError
        stop = start + LENGTH.size + length + TAG_BYTES
        if self._end < stop or not self._may_open():
            return False
        cipher = self._packets.incoming
        assert cipher is not None
        plain = self._plain[:length]
        buffer = self._buffer
        try:
            cipher.engine.decrypt_into(
                cipher.nonce(length), buffer[start + 4 : stop], buffer[start : start + 4], plain
            )
        except InvalidTag:
            raise ConnectionResetError from None
        self._start = stop
        if cipher.is_used_up:
            self._packets.count(cipher)
        if length >= _DATA_AT and plain[1] == _DATA:
            padding, _, here, size = _HEAD.unpack_from(plain)
            if here != self._here or _DATA_AT + size + padding > length:
                raise ConnectionResetError
            self._rest = plain[_DATA_AT : _DATA_AT + size]
        else:
            self._other(bytes(plain[1 : length - plain[0]]))
        return True

    def _may_open(self) -> bool:
        """Tell whether the key for the next packet is known: another one may be on its way."""
        handled = self._packets.handled
        return handled.is_set() or (
            threading.current_thread() is not self._transport
            and handled.wait(MOMENT_RECEIVING_SECONDS)
        )

    def _other(self, message: bytes) -> None:
        """Do what a message wants that is no data, or have paramiko's thread do it."""
        if not message:
            raise ConnectionResetError
        kind = message[0]
        if kind in _FOR_NOBODY:
            return
        if kind == _WINDOW_ADJUST and len(message) >= 1 + _TWO.size:
            _, more = _TWO.unpack_from(message, 1)
            with self._counting:
                self._window += more
            self._grown.set()
            return
        if kind == _EXTENDED_DATA:
            self._owed += len(message)
            return
        if kind in _ENDS:
            self._over = True
            self._grown.set()
        self._packets.hand_over(message)

    def _allow(self, size: int) -> bool:
        """Let the server send so much more; False if it cannot be told now."""
        sending = self._packets.sending
        if not sending.acquire(blocking=False):
            return False
        try:
            if self._packets.unsent or not self._transport.clear_to_send.is_set():
                return False
            message = paramiko.Message()
            message.add_byte(bytes((_WINDOW_ADJUST,)))
            message.add_int(self._there)
            message.add_int(size)
            self._packets.send_message(message)
        except OSError:
            return False
        except EOFError:
            raise ConnectionResetError from None
        finally:
            sending.release()
        return True

    # Sending

    def send(self, buffers: Sequence[Bytes]) -> int:
        """Send some of the bytes, as `Stream.send` does."""
        sending = self._packets.sending
        # What was sealed is as good as sent, but said only when it is: who sent it waits for the
        # answer next.
        if not self._promised and not self._may_send(buffers):
            return 0
        if not sending.acquire(timeout=MOMENT_SENDING_SECONDS):
            return 0
        try:
            if not self._flush():
                return 0
            if not self._promised and self._transport.clear_to_send.is_set():
                self._promised = self._seal(buffers)
                if not self._flush():
                    return 0
            promised, self._promised = self._promised, 0
        finally:
            sending.release()
        return promised

    def _may_send(self, buffers: Sequence[Bytes]) -> bool:
        """Tell whether the server takes enough of this, waiting a moment until it does.

        Little at a time would cost both sides a turn for each packet.
        """
        wanted = max(1, min(sum(map(len, buffers)), self._least_window))
        if self._window >= wanted and self._transport.clear_to_send.is_set():
            return True
        end = time.monotonic() + MOMENT_SENDING_SECONDS
        while (left := end - time.monotonic()) > 0:
            self._grown.clear()
            if self._over or not self._transport.is_active():
                raise ConnectionResetError
            if self._window >= wanted and self._transport.clear_to_send.is_set():
                return True
            # Nobody may be there to receive the server's word.
            if not self.look(left):
                self._grown.wait(left)
        return False

    def _flush(self) -> bool:
        """Send what is sealed; False if the server takes no more for a moment."""
        while self._packets.unsent:
            try:
                sent = self._socket.send(self._packets.unsent)
            except BlockingIOError:
                return False
            self._packets.unsent = self._packets.unsent[sent:]
        return True

    def _seal(self, buffers: Sequence[Bytes]) -> int:
        """Seal some of the bytes, as many as the server's window lets; return how many."""
        cipher = self._packets.outgoing
        assert cipher is not None
        most = min(self._window, _SEND_PACKETS * self._piece)
        taken = at = 0
        pieces = iter(buffers)
        piece = memoryview(b"")
        while taken < most:
            limit = min(self._piece, most - taken)
            size = 0
            while size < limit:
                if not piece:
                    following = next(pieces, None)
                    if following is None:
                        break
                    piece = memoryview(following)
                    continue
                count = min(len(piece), limit - size)
                self._clear[_DATA_AT + size : _DATA_AT + size + count] = piece[:count]
                piece = piece[count:]
                size += count
            if not size:
                break
            at = self._seal_one(cipher, size, at)
            taken += size
        with self._counting:
            self._window -= taken
        self._packets.unsent = self._sealed[:at]
        if cipher.is_used_up:
            self._packets.count(cipher)
        return taken

    def _seal_one(self, cipher: Cipher, size: int, at: int) -> int:
        """Seal the `size` bytes that lie in `_clear`, to `at`; return where that ends."""
        padding = padding_of(_DATA_AT + size)
        length = _DATA_AT + size + padding
        _HEAD.pack_into(self._clear, 0, padding, _DATA, self._there, size)
        self._clear[_DATA_AT + size : length] = bytes(padding)
        LENGTH.pack_into(self._sealed, at, length)
        stop = at + LENGTH.size + length + TAG_BYTES
        cipher.engine.encrypt_into(
            cipher.nonce(length),
            self._clear[:length],
            self._sealed[at : at + 4],
            self._sealed[at + 4 : stop],
        )
        return stop
