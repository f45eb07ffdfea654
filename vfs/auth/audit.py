"""Audit: who did what, a JSON object a line, in a file that only grows.

Lines are whole, also when several processes write them, and hold printable text alone: in a text,
a backslash begins an escape as Python spells it, and is itself doubled. So nothing that a client
sends can end a line, steer a terminal or look like something else.
"""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

AUDIT_FILE = "audit.jsonl"
"""What the file is called in a state directory."""

TEXT_MAX = 2048
"""Characters of one text in a line; a longer one ends in the mark `CUT`."""

CUT = "\\..."

LOOK_SECONDS = 1.0
"""Between two looks at whether the file was moved away."""

RETRY_SECONDS = 5.0
"""After a failure, until the file is tried again."""

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

Outcome = Literal["ok", "refused", "failed", "cut"]


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request that was answered. Texts are as they came; what is unfit for a line is escaped.

    `time` is when it began, in Unix seconds; `request` is its id. `user` is None for a caller
    without a login, `credential` is as in Caller. When a login is refused, `user` is whom it
    claimed to be and `credential` is "refused". `path` is the decoded path of the tree, or the raw
    one when it has none. `destination` is for COPY and MOVE alone. "refused" is an answer that
    blames the request (4xx), "failed" one that blames the gateway (5xx), "cut" a transfer that did
    not come to its end. Never put a query string or a header here.
    """

    time: float
    request: str
    user: str | None
    credential: str
    address: str
    method: str
    path: str
    destination: str | None = None
    status: int
    outcome: Outcome
    received: int
    sent: int
    ms: float


class _Line(msgspec.Struct, frozen=True, gc=False):
    """A request as its line has it: the names and their order are the format."""

    time: str
    kind: str
    request: str
    user: str | None
    credential: str
    address: str
    method: str
    path: str
    destination: str | msgspec.UnsetType
    status: int
    outcome: str
    received: int
    sent: int
    ms: float


class Audit:
    """Appends lines to `path`, which has mode 0600 when it is made here.

    It opens the file anew after it was moved away, within LOOK_SECONDS. When a line cannot be
    written, the request goes on: the line is lost and counted in `lost`, the log has one error,
    and the file is tried again after RETRY_SECONDS. Once it works again, it gets a line that
    says how many are missing.

    `path` and the clocks are fixed. `_lock` guards the rest; it is held while a line is written,
    since a descriptor that is closed meanwhile may become somebody else's file. `_second` is
    replaced in one step.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.lost = 0
        self._now = now
        self._wall = wall
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._identity = (0, 0)
        self._look_at = 0.0
        self._retry_at = 0.0
        self._missing = 0
        self._second = (0, "")

    def open(self) -> None:
        """Open the file; raise OSError when it cannot be written. For the start of a server."""
        with self._lock:
            self._open()

    def write(self, record: AuditRecord) -> None:
        """Append a request. Raises nothing."""
        destination = record.destination
        self._append(
            _encode(
                _Line(
                    self._stamp(record.time),
                    "request",
                    _fit(record.request),
                    None if record.user is None else _fit(record.user),
                    _fit(record.credential),
                    _fit(record.address),
                    _fit(record.method),
                    _fit(record.path),
                    msgspec.UNSET if destination is None else _fit(destination),
                    record.status,
                    record.outcome,
                    record.received,
                    record.sent,
                    round(record.ms, 2),
                )
            )
            + b"\n"
        )

    def note(self, action: str, **fields: str | float | None) -> None:
        """Append what an administrator did, as "user added" with `user` and `by`."""
        self._append(self._event(action, fields))

    def reopen(self) -> None:
        """Open the file anew with the next line."""
        with self._lock:
            self._close()
            self._retry_at = 0.0

    def close(self) -> None:
        """Close the file. A line after that opens it again."""
        with self._lock:
            self._close()

    def _event(self, action: str, fields: dict[str, str | float | None]) -> bytes:
        line: dict[str, object] = {
            "time": self._stamp(self._wall()),
            "kind": "event",
            "action": _fit(action),
        }
        for name, value in fields.items():
            line.setdefault(name, _fit(value) if isinstance(value, str) else value)
        return _encode(line) + b"\n"

    def _append(self, line: bytes) -> None:
        with self._lock:
            before = self._missing
            error = self._try(line, self._now())
            after = self._missing
        if error is not None and not before:
            _log.error(
                "audit log '%s' cannot be written: %s; lines are lost until it can be:"
                " make room, or correct its owner and mode",
                self.path,
                error.strerror or error,
            )
        elif before and not after:
            _log.warning("audit log '%s' works again; %d lines are lost", self.path, before)

    def _try(self, line: bytes, now: float) -> OSError | None:
        """Write or count a line; return why it could not be written, if that was tried."""
        cause = None
        if now >= self._retry_at:
            try:
                self._write(line, now)
            except OSError as error:
                cause = error
                self._close()
                self._retry_at = now + RETRY_SECONDS
            else:
                return None
        self.lost += 1
        self._missing += 1
        return cause

    def _write(self, line: bytes, now: float) -> None:
        if self._descriptor is not None and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            if not self._is_there():
                self._close()
        descriptor = self._open() if self._descriptor is None else self._descriptor
        if self._missing:
            _put(descriptor, self._event("audit lines lost", {"lines": self._missing}))
            self._missing = 0
        _put(descriptor, line)

    def _is_there(self) -> bool:
        try:
            status = os.stat(self.path)  # noqa: PTH116 - half the time of Path.stat
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return (status.st_dev, status.st_ino) == self._identity

    def _open(self) -> int:
        self._close()
        # Opening a named pipe for writing alone would wait for a reader.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            status = _begin(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        self._look_at = self._now() + LOOK_SECONDS
        return descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _stamp(self, seconds: float) -> str:
        whole = int(seconds)
        known, text = self._second
        if known != whole:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            self._second = (whole, text)
        return f"{text}.{int((seconds - whole) * 1000):03d}Z"


def _begin(descriptor: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(None, "it is no file")
    # What a full disk cut short stands alone, so that it spoils no other line.
    if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
        _put(descriptor, b"\n")
    return status


def _put(descriptor: int, line: bytes) -> None:
    written = os.write(descriptor, line)
    while written < len(line):
        # The disk is full: this raises with the reason, or there is room again.
        written += os.write(descriptor, line[written:])


def _fit(text: str) -> str:
    """Return what of `text` may stand in a line."""
    if text.isprintable() and "\\" not in text:
        return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + CUT
    pieces: list[str] = []
    room = TEXT_MAX
    for letter in text:
        piece = letter if letter.isprintable() and letter != "\\" else _escaped(letter)
        room -= len(piece)
        if room < 0:
            pieces.append(CUT)
            break
        pieces.append(piece)
    return "".join(pieces)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
