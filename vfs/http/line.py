"""What the parts of a connection need of each other, so that none has to know the whole."""

import socket
from contextlib import AbstractContextManager
from typing import Protocol


class PeerLost(ConnectionError):
    """The peer is gone: there is nobody left to answer."""


class Host(Protocol):
    """The server, as a connection sees it."""

    host: str
    stopping: bool

    @property
    def port(self) -> int:
        """The port in use."""

    def blocked(self) -> AbstractContextManager[None]:
        """Mark the calling thread as waiting for its peer."""

    def forget(self, address: str) -> None:
        """Count out a connection from `address` that is being closed."""


class Line(Protocol):
    """A connection, as what reads and writes on it sees it."""

    socket: socket.socket
    remote_addr: str
    remote_port: int
    waited_seconds: float

    @property
    def host(self) -> Host:
        """The server."""

    @property
    def secure(self) -> bool:
        """Tell whether it is encrypted."""

    @property
    def ahead(self) -> int:
        """How many bytes were read that nobody has taken yet."""

    def receive(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for the first; empty at the end of the stream.

        This, `send` and `wait` raise PeerLost, and BadRequest when the peer stalls.
        """

    def receive_into(self, buffer: memoryview) -> int:
        """Put what is there into `buffer`, waiting for the first byte; 0 at the end."""

    def receive_now(self, size: int) -> bytes | None:
        """Return what is there already, None when nothing is."""

    def send(self, data: bytes | bytearray | memoryview, before: bytes = b"") -> None:
        """Send all of `data`, waiting for the peer where it must; `before` goes ahead of it.

        In a thread that must not wait, WouldWait: `send_rest` then sends what is left.
        """

    def send_rest(self) -> None:
        """Send what was left when `send` raised WouldWait."""

    def is_present(self) -> bool:
        """Tell whether the peer is still there: it has not ended the stream."""

    def wait(self, events: int) -> None:
        """Wait until the peer reads or writes, and count that to `waited_seconds`."""
