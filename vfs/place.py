"""Place: where one worker of a gateway stands, and who stands there now."""

import socket
from contextlib import suppress
from multiprocessing.connection import Connection

from vfs.worker import Reload, Stop


class Place:
    """The socket of one worker, and the process that takes its clients now; 0 is none.

    Used by the supervisor alone. `number` and `listener` are fixed.
    """

    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.listener = listener
        self.process = 0
        self.channel: Connection | None = None
        self.is_ready = False
        self.began = 0.0
        self.quick = 0
        self.start_at: float | None = None
        self.walks = False

    def say(self, message: Reload | Stop) -> None:
        """Send a message, if anybody is there to hear it."""
        if self.channel is not None:
            with suppress(OSError):
                self.channel.send(message)
