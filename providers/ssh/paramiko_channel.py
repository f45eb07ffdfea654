"""The stream through paramiko: a channel with a large window, no child.

Its window is 64 MiB where OpenSSH's client has 2, so a far server sends that much more per round
trip. What is slow in paramiko is left aside: its SFTP client, and where the cipher is AES-GCM and
the connection straight, all that it does with data (`lane`). Elsewhere the buffer of its channel is
replaced, which moves all that it holds for each packet that is taken.
"""

import itertools
import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import paramiko

from providers.errors import RateLimited, StorageError, Unavailable
from providers.ssh import host_keys
from providers.ssh.auth import log_in
from providers.ssh.host_keys import DEFAULT_PORT, QUIET, HostKey
from providers.ssh.lane import Lane
from providers.ssh.login import Login
from providers.ssh.packets import REKEY_BYTES, REKEY_PACKETS, Packets
from providers.ssh.ssh_config import resolve
from providers.ssh.stream import (
    CLOSED,
    MOMENT_RECEIVING_SECONDS,
    MOMENT_SENDING_SECONDS,
    Stream,
)
from providers.ssh.wire import Bytes

WINDOW_BYTES: Final = 64 << 20
_PACKET_BYTES: Final = 256 << 10
_CIPHERS: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")

_FAILURES: Final = (paramiko.SSHException, OSError, EOFError)


class ParamikoStream(Stream):
    """One connection of paramiko with one channel. All attributes are fixed.

    `hops` are the connections that this one goes through.
    """

    def __init__(self, login: Login) -> None:
        login = resolve(login)
        self.description = f"{login.account} through paramiko"
        self._hops: list[paramiko.Transport] = []
        route = _route(login)
        try:
            peer: socket.socket | paramiko.Channel = _connect(route[0])
            for way, after in itertools.pairwise(route):
                transport = self._arrive(peer, way)
                peer = transport.open_channel(
                    "direct-tcpip", (after.host, after.port), ("127.0.0.1", 0)
                )
            transport = self._arrive(peer, login)
            self._channel = transport.open_session(timeout=login.connect_seconds)
            self._pipe = _Pipe()
            self._channel.in_buffer = self._pipe  # type: ignore[assignment] # it need not derive
            self._channel.in_stderr_buffer = _Nowhere()  # type: ignore[assignment] # likewise
            self._channel.settimeout(MOMENT_SENDING_SECONDS)
            self._lane = self._subsystem(transport, login)
            if self._lane is not None:
                self.is_direct = True
                # Called for each packet, thousands of times a second: without a step in between.
                self.send = self._lane.send  # type: ignore[method-assign]
                self.recv_into = self._lane.recv_into  # type: ignore[method-assign]
        except BaseException as error:
            for transport in reversed(self._hops):
                transport.close()
            if isinstance(error, StorageError) or not isinstance(error, _FAILURES):
                raise
            raise _reason(error) from error
        transport.set_keepalive(login.alive_seconds)

    def _arrive(self, peer: socket.socket | paramiko.Channel, login: Login) -> paramiko.Transport:
        """Return a connection whose other end was checked and has let us in."""
        transport = paramiko.Transport(
            peer,
            default_window_size=WINDOW_BYTES,
            default_max_packet_size=_PACKET_BYTES,
            packetizer_class=Packets,
        )
        self._hops.append(transport)
        transport.set_log_channel(QUIET)
        transport.auth_timeout = transport.banner_timeout = login.connect_seconds
        options = transport.get_security_options()
        options.ciphers = _CIPHERS
        options.key_types = _preferred(login, tuple(options.key_types))
        transport.packetizer.REKEY_BYTES = REKEY_BYTES
        transport.packetizer.REKEY_PACKETS = REKEY_PACKETS
        transport.start_client(timeout=login.connect_seconds)
        key = transport.get_remote_server_key()
        shown = HostKey(key.get_name(), key.asbytes())
        host_keys.check(login.known_hosts, login.host, login.port, shown)
        log_in(transport, login)
        return transport

    def _subsystem(self, transport: paramiko.Transport, login: Login) -> Lane | None:
        """Start the server's SFTP; return the lane to it, where there can be one."""
        packets = transport.packetizer
        assert isinstance(packets, Packets)
        leaves = packets.leave()
        self._channel.settimeout(login.connect_seconds)
        try:
            self._channel.invoke_subsystem("sftp")
        except paramiko.SSHException as error:
            raise Unavailable(
                detail="the server offers no SFTP: its subsystem sftp is off", temporary=False
            ) from error
        self._channel.settimeout(MOMENT_SENDING_SECONDS)
        if not leaves:
            return None
        if not packets.left.wait(login.connect_seconds):
            raise Unavailable(detail="the server closed the connection")
        lane = Lane(packets, transport, self._channel, window=WINDOW_BYTES, largest=_PACKET_BYTES)
        packets.idle = lane.look
        return lane

    def send(self, buffers: Sequence[Bytes]) -> int:
        """Send some of the bytes."""
        largest = self._channel.out_max_packet_size
        data = b"".join(_first(buffers, largest))
        try:
            sent = self._channel.send(data)
        except TimeoutError:
            return 0
        except (paramiko.SSHException, EOFError) as error:
            raise ConnectionResetError from error
        if sent == 0:
            raise ConnectionResetError
        return sent

    def recv_into(self, view: memoryview, least: int = 1) -> int:
        """Receive up to `view`'s length."""
        if not self._pipe.wait(least):
            return 0
        filled = 0
        while filled < len(view) and self._pipe.read_ready():
            packet = self._channel.recv(len(view) - filled)  # also lets the server send as much
            view[filled : filled + len(packet)] = packet
            filled += len(packet)
        return filled

    def has_room(self, size: int) -> bool:
        """Tell whether the server's window is as large."""
        if self._lane is not None:
            return self._lane.has_room(size)
        return self._channel.out_window_size >= size

    def cause(self) -> StorageError:
        """Return the error for what paramiko met, if it met anything."""
        error = self._hops[-1].get_exception()
        return Unavailable(detail=CLOSED) if error is None else _reason(error)

    def close(self) -> None:
        """End the connection."""
        self._pipe.close()
        for transport in reversed(self._hops):
            transport.close()


class _Pipe:
    """What has come and was not taken: stands in for paramiko's BufferedPipe in a channel.

    Packets are kept as they come and copied once, into the reader's memory. `_turn` guards
    everything. The window bounds what lies here.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition(threading.Lock())
        self._packets: deque[memoryview] = deque()
        self._size = 0
        self._wanted = 0
        self._closed = False

    def __len__(self) -> int:
        return self._size

    def feed(self, data: bytes) -> None:
        """Take a packet; called by paramiko's thread."""
        with self._turn:
            self._packets.append(memoryview(data))
            self._size += len(data)
            if self._size >= self._wanted:
                self._turn.notify()

    def read_ready(self) -> bool:
        """Tell whether something is here."""
        return self._size > 0

    def set_event(self, event: threading.Event) -> None:
        """Refuse: nobody selects on this channel."""
        raise NotImplementedError

    def close(self) -> None:
        """Tell the reader that nothing more comes; called by paramiko's thread too."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def wait(self, least: int) -> bool:
        """Wait a moment for so many bytes; tell whether there are any, False at the end.

        Raises BlockingIOError when there are none yet.
        """
        with self._turn:
            # Not more than a part of the window, or nothing more would come.
            self._wanted = min(least, WINDOW_BYTES // 16)
            if self._size < self._wanted:
                self._turn.wait_for(self._enough, MOMENT_RECEIVING_SECONDS)
            if not self._packets and not self._closed:
                raise BlockingIOError
            return bool(self._packets)

    def _enough(self) -> bool:
        return self._closed or self._size >= self._wanted

    def read(self, nbytes: int, timeout: float | None = None) -> memoryview:
        """Return the next packet or its beginning; called by the channel, when one is there."""
        with self._turn:
            packet = self._packets.popleft()
            if len(packet) > nbytes:
                self._packets.appendleft(packet[nbytes:])
                packet = packet[:nbytes]
            self._size -= len(packet)
            return packet


class _Nowhere(_Pipe):
    """Forgets what the server says on its second channel."""

    def feed(self, data: bytes) -> None:
        """Forget it."""


def _route(login: Login) -> list[Login]:
    """Return the logins on the way, the destination last. Only that one has a password."""
    route = []
    for name in login.jump:
        user, _, rest = name.rpartition("@")
        host, _, port = rest.partition(":") if rest.count(":") <= 1 else (rest, "", "")
        route.append(
            msgspec.structs.replace(
                login,
                host=host,
                user=user or login.user,
                port=int(port) if port else DEFAULT_PORT,
                password=None,
            )
        )
    return [*route, login]


def _connect(login: Login) -> socket.socket:
    try:
        peer = socket.create_connection((login.host, login.port), login.connect_seconds)
    except OSError as error:
        raise host_keys.unreachable(error) from error
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def _preferred(login: Login, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of host key with the known ones first: the server shows the first it has."""
    known = set(host_keys.known_algorithms(login.known_hosts, login.host, login.port))
    if "ssh-rsa" in known:
        known |= {"rsa-sha2-512", "rsa-sha2-256"}
    return tuple(sorted(kinds, key=lambda kind: kind not in known))


def _first(buffers: Sequence[Bytes], size: int) -> list[Bytes]:
    """Return the first `size` bytes, in pieces."""
    found: list[Bytes] = []
    for buffer in buffers:
        found.append(buffer if len(buffer) <= size else memoryview(buffer)[:size])
        size -= len(found[-1])
        if not size:
            break
    return found


def _reason(error: Exception) -> StorageError:
    """Return the error for what paramiko raised outside the login."""
    if isinstance(error, StorageError):
        return error
    text = str(error)
    if isinstance(error, paramiko.ChannelException):
        return RateLimited(detail="the server opens no more sessions here (MaxSessions)")
    if "banner" in text:
        return RateLimited(
            detail="the server takes no more connections now (MaxStartups), or is no SSH server"
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return Unavailable(
            detail="the server and we have no cipher or key exchange in common", temporary=False
        )
    if isinstance(error, OSError) and not isinstance(error, paramiko.SSHException):
        return host_keys.unreachable(error)
    return Unavailable(detail=CLOSED)
