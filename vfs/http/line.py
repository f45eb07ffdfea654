"""What the parts of a connection need of each other, so that none has to know the whole."""

import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class PeerLost(ConnectionError):
    """The peer is gone: there is nobody left to answer."""


class Host(Protocol):
    """The server, as a connection sees it."""

    host: str
    stopping: bool
    wsgi_app: Application

    @property
    def port(self) -> int:
        """The port in use."""

    def blocked(self) -> AbstractContextManager[None]:
        """Mark the calling thread as waiting for its peer."""

    def forget(self, address: str) -> None:
        """Count out a connection from `address` that is being closed."""


class Line(Protocol):
    """A connection, as what reads and writes on it sees it."""

    host: Host
    socket: socket.socket
    remote_addr: str
    remote_port: int
    waited_seconds: float

    @property
    def secure(self) -> bool:
        """Tell whether it is encrypted."""

    def receive(self, size: int) -> bytes:
        """Return up to `size` bytes, waiting for the first; empty at the end of the stream.

        This, `send` and `wait` raise PeerLost, and BadRequest when the peer stalls.
        """

    def receive_now(self, size: int) -> bytes | None:
        """Return what is there already, None when nothing is."""

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`, waiting for the peer where it must."""

    def is_present(self) -> bool:
        """Tell whether the peer is still there: it has not ended the stream."""

    def wait(self, events: int) -> None:
        """Wait until the peer reads or writes, and count that to `waited_seconds`."""
