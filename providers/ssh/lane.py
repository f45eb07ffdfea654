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

from providers.ssh.packets import LENGTH, REKEY_BYTES, TAG_BYTES, Cipher, Packets, padding_of
from providers.ssh.stream import MOMENT_RECEIVING_SECONDS, MOMENT_SENDING_SECONDS, timeval
from providers.ssh.wire import Bytes

# Kinds of messages: RFC 4250, section 4.1.2.
_FOR_NOBODY: Final = frozenset({2, 4})  # what is to be ignored; for who looks for a mistake
_WINDOW_ADJUST: Final = 93
_DATA: Final = 94
_EXTENDED_DATA: Final = 95
_ENDS: Final = frozenset({1, 96, 97})

_HEAD: Final = struct.Struct(">BBII")  # padding, kind, channel, size
_DATA_AT: Final = _HEAD.size
_AROUND_BYTES: Final = 1 << 10  # what a packet has around its data, at most
_RECEIVE_BYTES: Final = 256 << 10
_SEND_BYTES: Final = 32 << 10
_SEND_PACKETS: Final = 8
_LEAST_WINDOW_BYTES: Final = 256 << 10
_WORD_BYTES: Final = 36  # that the window has grown
_GATHER_MS: Final = 1
_NOTHING: Final = memoryview(b"")
_SHORT: Final = (0, 0, 0, 0)  # stands for the head of a message without any
_LARGE_BYTES: Final = 8 << 10


class Lane:
    """Carries the data of one channel whose socket paramiko's thread has left.

    `_receiving` is held by who receives, and guards the buffers, `_poll`, `_rest`, `_early`,
    `_owed` and `_over`; the packets' lock `sending` by who sends, and guards `_promised`; the
    rest is fixed, but `_window` and `_step`, by which it grew last, which `_counting` guards.
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
        self._poll = select.poll()  # takes descriptors above 1,023, as select does not
        self._poll.register(self._socket, select.POLLIN)
        self._receiving = threading.Lock()
        self._counting = threading.Lock()
        self._longest = largest + _AROUND_BYTES
        self._buffer = memoryview(bytearray(self._longest + _RECEIVE_BYTES))
        self._plain = memoryview(bytearray(self._longest))
        self._start = 0
        self._end = 0
        self._rest = _NOTHING
        self._early: deque[memoryview] = deque()
        self._owed = 0
        self._owed_most = window // 16
        self._over = False
        self._window = channel.out_window_size
        self._step = self._window or 1
        self._least_window = min(_LEAST_WINDOW_BYTES, self._window // 4)
        self._grown = threading.Event()
        self._piece = min(channel.out_max_packet_size, _SEND_BYTES)
        self._clear = memoryview(bytearray(self._piece + _AROUND_BYTES))
        self._sealed = memoryview(bytearray(_SEND_PACKETS * (self._piece + _AROUND_BYTES)))
        self._promised = 0

    # Receiving

    def recv_into(self, view: memoryview, least: int = 1) -> int:
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

    def look(self, seconds: float = 0, least: int = 1) -> bool:
        """Take what comes within that time, which may be no data; False if somebody receives.

        Waits a little for `least` bytes to be there, then for any.
        """
        if not self._receiving.acquire(blocking=False):
            return False
        try:
            if self._rest:
                self._early.appendleft(memoryview(bytes(self._rest)))
                self._rest = _NOTHING
            if self._over or not self._comes(seconds, least):
                return True
            if self._receive():
                while self._open() is not None:
                    if self._rest:
                        self._early.append(memoryview(bytes(self._rest)))
                        self._rest = _NOTHING
        finally:
            self._receiving.release()
        return True

    def _comes(self, seconds: float = 0, least: int = 1) -> bool:
        if least > 1:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
            try:
                if self._poll.poll(_GATHER_MS):
                    return True
            finally:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return bool(self._poll.poll(seconds * 1000))

    def _fill(self, view: memoryview, least: int) -> int:
        filled, size = 0, len(view)
        while True:
            rest = self._rest
            if rest:
                wanted = size - filled
                if len(rest) > wanted:
                    view[filled:] = rest[:wanted]
                    self._rest = rest[wanted:]
                    return size
                start, filled = filled, filled + len(rest)
                view[start:filled] = rest
                self._rest = _NOTHING
                if filled == size:
                    return size
            if self._early:
                self._rest = self._early.popleft()
                continue
            if self._over:
                return filled
            if self._start != self._end:
                placed = self._open(view, filled)
                if placed is not None:
                    filled += placed
                    continue
            if filled and filled >= least:
                return filled
            if (not least and not self._comes()) or not self._receive():
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

    def _open(self, view: memoryview = _NOTHING, at: int = 0) -> int | None:
        """Open the next packet, if all of it is here; None if not.

        Returns how much data was put into `view` at `at`: all of a large one that fits there, so
        that it is not copied. The data of another is then `_rest`.
        """
        start, end, buffer = self._start, self._end, self._buffer
        if end - start < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(buffer, start)
        if not 0 < length <= self._longest:
            raise ConnectionResetError
        sealed = start + LENGTH.size
        stop = sealed + length + TAG_BYTES
        if end < stop or not (self._packets.handled.is_set() or self._may_open()):
            return None
        cipher = self._packets.incoming
        assert cipher is not None
        first = at - _DATA_AT
        if length > _LARGE_BYTES and 0 <= first <= len(view) - length:
            # Its head lies for a moment where data is that came before.
            plain = view[first : first + length]
            before = bytes(plain[:_DATA_AT])
        else:
            plain, before = self._plain[:length], b""
        try:
            cipher.engine.decrypt_into(
                cipher.nonce(length), buffer[sealed:stop], buffer[start:sealed], plain
            )
        except InvalidTag:
            raise ConnectionResetError from None
        self._start = stop
        if cipher.used >= REKEY_BYTES:
            self._packets.count(cipher)
        padding, kind, here, size = _HEAD.unpack_from(plain) if length >= _DATA_AT else _SHORT
        if kind == _DATA:
            if here != self._here or _DATA_AT + size + padding > length:
                raise ConnectionResetError
            if before:
                plain[:_DATA_AT] = before
                return int(size)
            self._rest = plain[_DATA_AT : _DATA_AT + size]
        elif kind == _WINDOW_ADJUST and _DATA_AT + padding <= length:
            self._grow(size)  # thousands a second come while we send
        else:
            self._other(bytes(plain[1 : length - plain[0]]))
            plain[: len(before)] = before
        return 0

    def _may_open(self) -> bool:
        """Tell whether the key for the next packet is known: another one may be on its way."""
        return threading.current_thread() is not self._transport and self._packets.handled.wait(
            MOMENT_RECEIVING_SECONDS
        )

    def _other(self, message: bytes) -> None:
        """Do what a message wants that is no data, or have paramiko's thread do it."""
        if not message:
            raise ConnectionResetError
        kind = message[0]
        if kind in _FOR_NOBODY:
            return
        if kind == _EXTENDED_DATA:
            self._owed += len(message)
            return
        if kind in _ENDS:
            self._over = True
            self._grown.set()
        self._packets.hand_over(message)

    def _grow(self, size: int) -> None:
        """Take the server's word that it takes so much more."""
        with self._counting:
            self._window += size
            self._step = max(size, 1)
        if not self._grown.is_set():
            self._grown.set()

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
            if self._packets.unsent and not self._flush():
                return 0
            if not self._promised and self._transport.clear_to_send.is_set():
                self._promised = self._seal(buffers)
                if not self._flush():
                    return 0
            promised, self._promised = self._promised, 0
        finally:
            sending.release()
        return promised

    def has_room(self, size: int) -> bool:
        """Tell whether so much goes without a wait, as `Stream.has_room` does."""
        return self._window >= size or (self.look() and self._window >= size)

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
            # Its words let a little go each: to wake for every one of them holds up both sides.
            least = (wanted - self._window) // self._step * _WORD_BYTES
            # Nobody may be there to receive them.
            if not self.look(left, least):
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
        clear, limit = self._clear, _DATA_AT + self._piece
        taken, end, at = 0, _DATA_AT, 0  # what lies in `clear` up to `end` is in `taken`
        for buffer in buffers:
            piece = memoryview(buffer)
            start, stop = 0, min(len(piece), most - taken)
            taken += stop
            while start < stop:
                count = min(stop - start, limit - end)
                clear[end : end + count] = piece[start : start + count]
                start += count
                end += count
                if end == limit:
                    at = self._seal_one(cipher, end, at)
                    end = _DATA_AT
        if end > _DATA_AT:
            at = self._seal_one(cipher, end, at)
        with self._counting:
            self._window -= taken
        self._packets.unsent = self._sealed[:at]
        if cipher.used >= REKEY_BYTES:
            self._packets.count(cipher)
        return taken

    def _seal_one(self, cipher: Cipher, end: int, at: int) -> int:
        """Seal what lies in `_clear` up to `end`, to `at`; return where that stops."""
        padding = padding_of(end)
        length = end + padding
        clear, sealed = self._clear, self._sealed
        _HEAD.pack_into(clear, 0, padding, _DATA, self._there, end - _DATA_AT)
        clear[end:length] = bytes(padding)
        LENGTH.pack_into(sealed, at, length)
        body = at + LENGTH.size
        stop = body + length + TAG_BYTES
        cipher.engine.encrypt_into(
            cipher.nonce(length), clear[:length], sealed[at:body], sealed[body:stop]
        )
        return stop
