"""Visit: one request as the audit log sees it, from its arrival to the last byte of its answer."""

import itertools
import os
import secrets
import time
from typing import Protocol

from vfs.auth.caller import ANONYMOUS, Caller

FINISH_KEY = "headgate.finish"
"""Where a WSGI environment holds what the connection calls when the answer is out."""


# Unlike those of any other process, or of this one after a fork: an id finds lines in logs.
_PROCESS = secrets.token_hex(4)
_numbers = itertools.count(1)


def renew() -> None:
    """Take another beginning for the ids, in a process that was forked."""
    global _PROCESS  # noqa: PLW0603 - one value a process
    _PROCESS = secrets.token_hex(4)


os.register_at_fork(after_in_child=renew)


class Quota(Protocol):
    """Bounds what one caller may ask for; see `vfs.auth.quota`."""

    def enter(self, caller: Caller) -> None:
        """Count a request in; raise Throttled when it is too much."""

    def leave(self, caller: Caller) -> None:
        """Count it out."""


class Visit:
    """What is known of one request; filled as it is learnt, by the one thread that answers it.

    `claimed` is whom a refused credential named. `path` is the tree's, or what the client wrote
    where that is none. `is_known` says that the caller was found out and counted in.
    """

    __slots__ = (
        "address",
        "began",
        "caller",
        "claimed",
        "destination",
        "entered",
        "id",
        "is_known",
        "method",
        "path",
        "received",
        "seconds",
        "sent",
        "started",
        "status",
        "whole",
    )

    def __init__(self, method: str, path: str, address: str) -> None:
        self.id = f"{_PROCESS}{next(_numbers) & 0xFFFFFFFF:08x}"
        self.began = time.time()
        self.started = time.perf_counter()
        self.method = method
        self.path = path
        self.address = address
        self.caller: Caller = ANONYMOUS
        self.is_known = False
        self.claimed = ""
        self.destination = ""
        self.status = 0
        self.received = 0
        self.sent = 0
        self.whole = False
        self.seconds = 0.0
        self.entered: Quota | None = None
