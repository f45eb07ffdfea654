"""The packets of SSH below paramiko, which logs in and then leaves data to a `Lane`.

paramiko gives each packet to a thread of its own, through half a dozen copies. Here whoever waits
for data receives and deciphers it; paramiko's thread keeps what is no data: keys, signs of life,
the end.
"""

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

import paramiko
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.packet import NeedRekeyException, Packetizer

# AES-GCM may encrypt 2^36 bytes with one key (RFC 4253 section 9, RFC 4344 section 3.2); paramiko
# would agree on new keys after 2^29, which stops the transfer each time.
REKEY_BYTES: Final = 1 << 35
REKEY_PACKETS: Final = 1 << 30
_PACKET_COST: Final = REKEY_BYTES // REKEY_PACKETS

TAG_BYTES: Final = 16
LENGTH: Final = struct.Struct(">I")

_BLOCK_BYTES: Final = 16
_LEAST_PADDING: Final = 4
_LONGEST: Final = 1 << 20  # of a single message: a key exchange is far shorter
_COUNTER: Final = (1 << 64) - 1
_ABOUT_KEYS: Final = range(20, 50)
_ANSWERS: Final = frozenset({99, 100})  # to what was asked of a channel: success, failure
_LOOK_SECONDS: Final = 0.5


class Cipher:
    """AES-GCM in one direction (RFC 5647). Used by one thread at a time.

    `used` is how many bytes went, a packet counted as 32 more, so that it obeys both limits: it is
    time for another key when it reaches REKEY_BYTES.
    """

    __slots__ = ("_counter", "_fixed", "engine", "used")

    def __init__(self, engine: AESGCM, iv: bytes) -> None:
        self.engine = engine
        self.used = 0
        self._fixed = iv[:4]
        self._counter = int.from_bytes(iv[4:], "big")

    def nonce(self, size: int) -> bytes:
        """Return the nonce of the next packet, which has so many bytes."""
        counter = self._counter
        self._counter = (counter + 1) & _COUNTER
        self.used += size + _PACKET_COST
        return self._fixed + counter.to_bytes(8, "big")


class Packets(Packetizer):
    """Sends and receives messages for paramiko, and shares its ciphers with a lane.

    `sending` is held by who sends, and guards `outgoing` and `unsent`; `incoming` belongs to who
    receives: paramiko's thread until it has `left`, then who holds the lane's lock. `handled` is
    set while no message about keys waits for paramiko's thread: what comes behind one may be under
    other keys, so that there is one at most. `_is_last`, `_is_about_keys` and `_sequence` belong to
    that thread; `_leaving` is set once, `idle` once and taken back; the rest is fixed.
    """

    # paramiko has them for its subclasses; the published types do not name them.
    _trigger_rekey: Callable[[], None]
    _check_keepalive: Callable[[], None]

    def __init__(self, peer: socket.socket | paramiko.Channel) -> None:
        super().__init__(peer)  # type: ignore[arg-type]  # of a jump host it is a channel
        self.peer = peer
        self.incoming: Cipher | None = None
        self.outgoing: Cipher | None = None
        self.sending = threading.RLock()
        self.unsent = memoryview(b"")
        self.left = threading.Event()
        self.handled = threading.Event()
        self.idle: Callable[[], object] = _nothing
        self._messages: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._leaving = False
        self._is_last = False
        self._is_about_keys = False
        self._sequence = 0

    def leave(self) -> bool:
        """Let paramiko's thread leave the socket behind the answer that comes next.

        False when it must stay: the connection goes through another one, or has another cipher.
        """
        self._leaving = (
            isinstance(self.peer, socket.socket)
            and self.incoming is not None
            and self.outgoing is not None
        )
        return self._leaving

    def hand_over(self, message: bytes) -> None:
        """Give a message that is no data to paramiko's thread."""
        if message[0] in _ABOUT_KEYS:
            self.handled.clear()
        self._messages.put((message[0], message[1:]))

    def end(self) -> None:
        """Tell paramiko's thread that nothing more comes."""
        self._messages.put(None)

    def opened(self, length: bytes, sealed: bytes) -> bytes:
        """Return the message in one packet."""
        cipher = self.incoming
        assert cipher is not None
        try:
            plain = cipher.engine.decrypt(cipher.nonce(len(sealed)), sealed, length)
        except InvalidTag:
            raise paramiko.SSHException("a packet was damaged on its way") from None
        self.count(cipher)
        return plain[1 : len(plain) - plain[0]]

    def count(self, cipher: Cipher) -> None:
        """Ask for another key when it is time."""
        if cipher.used >= REKEY_BYTES and not self.need_rekey():
            self._trigger_rekey()

    # What paramiko calls. Ciphers come as its version gives them, and are passed on as they came.

    def set_inbound_cipher(self, *args: object, **named: object) -> None:
        """Decipher what comes from now on."""
        super().set_inbound_cipher(*args, **named)  # type: ignore[arg-type]
        self.incoming = self._cipher(named.get("block_engine"), named.get("iv_in"))

    def set_outbound_cipher(self, *args: object, **named: object) -> None:
        """Encipher what goes from now on."""
        with self.sending:
            super().set_outbound_cipher(*args, **named)  # type: ignore[arg-type]
            self.outgoing = self._cipher(named.get("block_engine"), named.get("iv_out"))

    def reset_seqno_in(self) -> None:
        """Count from 0 again."""
        super().reset_seqno_in()
        self._sequence = 0

    def send_message(self, data: paramiko.Message) -> None:
        """Send one message, behind what was sealed before it."""
        with self.sending:
            cipher = self.outgoing
            if cipher is None:
                super().send_message(data)
                return
            message = data.asbytes()
            padding = padding_of(1 + len(message))
            plain = b"".join((bytes((padding,)), message, bytes(padding)))
            length = LENGTH.pack(len(plain))
            sealed = cipher.engine.encrypt(cipher.nonce(len(plain)), plain, length)
            before, self.unsent = self.unsent, memoryview(b"")
            self.write_all(b"".join((before, length, sealed)))
            self.count(cipher)

    def read_message(self) -> tuple[int, paramiko.Message]:
        """Return the next message for paramiko's thread."""
        if self._is_last:
            return self._message(*self._handed_over())
        if self.incoming is None:
            return super().read_message()
        length = self.read_all(4, check_rekey=True)
        (size,) = LENGTH.unpack(length)
        if not 0 < size <= _LONGEST:
            raise paramiko.SSHException("a packet is too long")
        message = self.opened(length, self.read_all(size + TAG_BYTES))
        self._is_last = self._leaving and message[0] in _ANSWERS
        return self._message(message[0], message[1:])

    def close(self) -> None:
        """End the connection, and wake who waits for it."""
        if isinstance(self.peer, socket.socket):
            with contextlib.suppress(OSError):
                self.peer.shutdown(socket.SHUT_RDWR)
        super().close()
        self.end()
        self.idle = _nothing  # the lane goes with its last user, and its descriptor with it

    def _handed_over(self) -> tuple[int, bytes]:
        """Wait for a message that whoever receives gives us; look around now and then."""
        if self._is_about_keys or not self.left.is_set():
            self._is_about_keys = False
            self.handled.set()
            self.left.set()
        while True:
            try:
                given = self._messages.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self.closed:
                    raise EOFError from None
                if self.need_rekey():
                    raise NeedRekeyException from None
                self._check_keepalive()
                self.idle()
                continue
            if given is None:
                raise EOFError
            self._is_about_keys = given[0] in _ABOUT_KEYS
            return given

    def _cipher(self, engine: object, iv: object) -> Cipher | None:
        """Return the cipher, None if it is not AES-GCM, which alone is given an `iv`."""
        if isinstance(engine, AESGCM) and isinstance(iv, bytes):
            return Cipher(engine, iv)
        if self.left.is_set():
            raise paramiko.SSHException("the server changed to another kind of cipher")
        return None

    def _message(self, kind: int, body: bytes) -> tuple[int, paramiko.Message]:
        message = paramiko.Message(body)
        message.seqno = self._sequence
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return kind, message


def padding_of(size: int) -> int:
    """Return how much padding follows so many bytes of a packet, its own length counted."""
    padding = -size % _BLOCK_BYTES
    return padding if padding >= _LEAST_PADDING else padding + _BLOCK_BYTES


def _nothing() -> None:
    """Do nothing while no lane is there."""
