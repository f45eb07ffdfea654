"""The one interface to a connection that carries SFTP: bytes out, bytes in."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence

from providers.errors import StorageError
from providers.ssh.wire import Bytes

# How long a call may wait before it comes back with nothing: waits are bounded by who calls.
MOMENT_SENDING_SECONDS = 0.02
MOMENT_RECEIVING_SECONDS = 0.5

# What a stream says of its end where nobody told more.
CLOSED = "the server closed the connection"


class Stream(ABC):
    """Carries bytes to an SFTP server and back.

    One thread sends and another one receives at the same time; any thread may close.
    """

    description: str
    """Where this leads and how, for messages: no secret, no path of this machine."""

    is_direct: bool = False
    """Whether nobody stands between the thread that waits and the server's socket."""

    @abstractmethod
    def send(self, buffers: Sequence[Bytes]) -> int:
        """Send some of the bytes and return how many; 0 when none could go for a moment.

        Raises OSError when the stream is broken.
        """

    @abstractmethod
    def recv_into(self, view: memoryview, least: int = 1) -> int:
        """Receive up to `view`'s length and return how many bytes came; 0 at the end.

        Waits until `least` came, or a moment has passed. Raises BlockingIOError when none came at
        all, OSError when the stream is broken.
        """

    def has_room(self, size: int) -> bool:
        """Tell whether the server takes so many bytes without a wait, as far as is known."""
        return True

    @abstractmethod
    def cause(self) -> StorageError:
        """Return why the stream ended, as well as it is known. Called once, after its end."""

    def established(self) -> None:
        """Give back what only the login needed: the server has answered."""

    @abstractmethod
    def close(self) -> None:
        """End the connection at once and wake who sends or receives. Twice is no error."""


def timeval(seconds: float) -> bytes:
    """Return a time as the system's options of a socket want it."""
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
